//! Pickles as inert trees: a stack machine that calls nothing.
//!
//! Nodes lie in one vector and refer to each other by number, so a pickle that refers to itself or nests a million levels costs nothing
//! but its own length: every opcode makes at most one node, and nothing recurses.

mod machine;
mod node;

pub(super) use node::{Id, Node, Pickle};

use crate::cursor::{Cursor, Why};
use machine::Machine;

impl Pickle {
    /// Reads one pickle, up to its end.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Why> {
        Machine::default().run(cursor)
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    /// The number of nodes.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The items of a tuple or list.
    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// `module.name` of a class or function.
    pub(super) fn global(&self, id: Id) -> Option<String> {
        match self.node(id) {
            Node::Global(module, name) => Some(format!("{module}.{name}")),
            _ => None,
        }
    }

    /// The value of a text key in a dictionary.
    pub(super) fn get(&self, dict: Id, key: &str) -> Option<Id> {
        let Node::Dict(pairs) = self.node(dict) else { return None };
        pairs.iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Pickle, Why> {
        Pickle::parse(&mut Cursor::new(bytes))
    }

    #[test]
    fn a_call_is_kept_as_text() {
        // os.system("ls"), as an attacker would write it.
        let pickle = parse(b"cos\nsystem\nX\x02\x00\x00\x00ls\x85R.").unwrap();
        let Node::Object { class, arguments, .. } = pickle.node(pickle.root()) else { panic!("no object") };
        assert_eq!(pickle.global(*class).as_deref(), Some("os.system"));
        assert_eq!(pickle.text(pickle.items(*arguments).unwrap()[0]), Some("ls"));
    }

    #[test]
    fn numbers_of_every_spelling() {
        for (bytes, expected) in [
            (&b"K\x07."[..], Node::Int(7)),
            (b"M\x00\x01.", Node::Int(256)),
            (b"J\xff\xff\xff\xff.", Node::Int(-1)),
            (b"\x8a\x00.", Node::Int(0)),
            (b"\x8a\x02\x00\x80.", Node::Int(-32768)),
            (b"I-12\n.", Node::Int(-12)),
            (b"I01\n.", Node::Bool(true)),
            (b"L9L\n.", Node::Int(9)),
            (b"G\x3f\xf8\x00\x00\x00\x00\x00\x00.", Node::Float(1.5)),
            (b"N.", Node::None),
        ] {
            let pickle = parse(bytes).unwrap();
            assert_eq!(pickle.node(pickle.root()), &expected);
        }
    }

    #[test]
    fn a_pickle_that_contains_itself_and_one_of_a_million_levels_cost_only_their_length() {
        // l = []; l.append(l)
        assert!(parse(b"]q\x00h\x00a.").is_ok());
        let mut deep = b")".to_vec();
        deep.extend(std::iter::repeat_n(0x85, 1_000_000));
        deep.push(b'.');
        assert_eq!(parse(&deep).unwrap().len(), 1_000_001);
    }

    #[test]
    fn broken_pickles_are_errors() {
        for bytes in [
            &b""[..],
            b".",
            b"t.",
            b"h\x05.",
            b"(0.",
            b"K\x01a.",
            b"X\xff\xff\xff\x7f.",
            b"}K\x01K\x02s",
            b"\xff.",
            b"a.",
            b"s.",
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
