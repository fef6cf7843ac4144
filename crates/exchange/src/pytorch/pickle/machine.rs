//! The stack machine that reads a pickle: every opcode makes at most one node, and none calls anything.

use std::collections::HashMap;

use super::node::{Id, Node, Pickle};
use crate::cursor::{Cursor, Why};

#[derive(Default)]
pub(super) struct Machine {
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Where on the stack marks lie.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    next_memo: u64,
    /// Pairs copied from lists into dictionaries: one list may be named again and again.
    copied: usize,
}

impl Machine {
    /// Reads one pickle, up to its end.
    pub(super) fn run(mut self, cursor: &mut Cursor<'_>) -> Result<Pickle, Why> {
        loop {
            let at = cursor.position();
            let opcode = cursor.u8()?;
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok(Pickle { nodes: self.nodes, root });
            }
            self.step(opcode, cursor).map_err(|why| format!("pickle, byte {at}: {why}"))?;
        }
    }

    fn step(&mut self, opcode: u8, cursor: &mut Cursor<'_>) -> Result<(), Why> {
        match opcode {
            // Protocol and frames say nothing about values.
            0x80 => drop(cursor.u8()?),
            0x95 => drop(cursor.u64()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.after_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'q' | b'r' | 0x94 | b'p' | b'h' | b'j' | b'g' => self.memory(opcode, cursor)?,
            b'N' | 0x88 | 0x89 | b'K' | b'M' | b'J' | b'I' | b'L' | 0x8a | 0x8b | b'G' | b'F' => {
                self.number(opcode, cursor)?;
            }
            b'X' | 0x8c | 0x8d | b'U' | b'T' | b'S' | b'V' | b'B' | b'C' | 0x8e | 0x96 => {
                self.string(opcode, cursor)?
            }
            b')' | b't' | 0x85 | 0x86 | 0x87 | b']' | b'l' | b'a' | b'e' | b'}' | b'd' | b's' | b'u' | 0x8f | 0x90
            | 0x91 => self.collection(opcode)?,
            b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'b' | b'Q' | b'P' | b'o' | b'i' => self.object(opcode, cursor)?,
            _ => return Err(format!("the opcode {opcode:#04x} is not known")),
        }
        Ok(())
    }

    fn push(&mut self, node: Node) {
        self.nodes.push(node);
        self.stack.push(self.nodes.len() - 1);
    }

    fn top(&self) -> Result<Id, Why> {
        self.stack.last().copied().ok_or_else(|| "nothing is on the stack".to_owned())
    }

    fn pop(&mut self) -> Result<Id, Why> {
        // What lies before a mark is not to be taken before the mark is.
        if self.marks.last().is_some_and(|&mark| mark >= self.stack.len()) {
            return Err("nothing is on the stack above the mark".to_owned());
        }
        self.stack.pop().ok_or_else(|| "nothing is on the stack".to_owned())
    }

    fn after_mark(&mut self) -> Result<Vec<Id>, Why> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or("there is no mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn memory(&mut self, opcode: u8, cursor: &mut Cursor<'_>) -> Result<(), Why> {
        let slot = match opcode {
            b'q' | b'h' => u64::from(cursor.u8()?),
            b'r' | b'j' => u64::from(cursor.u32()?),
            b'p' | b'g' => parsed(cursor)?,
            _ => self.next_memo,
        };
        if matches!(opcode, b'h' | b'j' | b'g') {
            let id = *self.memo.get(&slot).ok_or_else(|| format!("nothing is remembered as {slot}"))?;
            self.stack.push(id);
        } else {
            self.memo.insert(slot, self.top()?);
            self.next_memo = self.memo.len() as u64;
        }
        Ok(())
    }

    fn number(&mut self, opcode: u8, cursor: &mut Cursor<'_>) -> Result<(), Why> {
        let node = match opcode {
            b'N' => Node::None,
            0x88 => Node::Bool(true),
            0x89 => Node::Bool(false),
            b'K' => Node::Int(i64::from(cursor.u8()?)),
            b'M' => Node::Int(i64::from(cursor.u16()?)),
            b'J' => Node::Int(i64::from(cursor.u32()? as i32)),
            b'I' => match cursor.line(b'\n')? {
                b"00" => Node::Bool(false),
                b"01" => Node::Bool(true),
                line => Node::Int(from_text(line)?),
            },
            b'L' => {
                let line = cursor.line(b'\n')?;
                Node::Int(from_text(line.strip_suffix(b"L").unwrap_or(line))?)
            }
            0x8a => {
                let length = usize::from(cursor.u8()?);
                integer(cursor.take(length)?)
            }
            0x8b => {
                let length = cursor.u32()? as usize;
                integer(cursor.take(length)?)
            }
            b'G' => Node::Float(f64::from_be_bytes(cursor.array()?)),
            _ => Node::Float(from_text(cursor.line(b'\n')?)?),
        };
        self.push(node);
        Ok(())
    }

    fn string(&mut self, opcode: u8, cursor: &mut Cursor<'_>) -> Result<(), Why> {
        let bytes = match opcode {
            b'S' | b'V' => cursor.line(b'\n')?,
            _ => {
                let length = match opcode {
                    0x8c | b'U' | b'C' => u64::from(cursor.u8()?),
                    b'X' | b'T' | b'B' => u64::from(cursor.u32()?),
                    _ => cursor.u64()?,
                };
                let length = cursor.count(length, 1)?;
                cursor.take(length)?
            }
        };
        let bytes = if opcode == b'S' { bytes.trim_ascii().trim_ascii_end() } else { bytes };
        let quoted = opcode == b'S' && bytes.len() >= 2 && matches!(bytes[0], b'\'' | b'"');
        let bytes = if quoted { &bytes[1..bytes.len() - 1] } else { bytes };
        let node = match (opcode, std::str::from_utf8(bytes)) {
            (b'B' | b'C' | 0x8e | 0x96, _) => Node::Bytes(bytes.to_vec()),
            (_, Ok(text)) => Node::Text(text.to_owned()),
            // Python 2 kept bytes in its strings.
            (b'U' | b'T' | b'S', Err(_)) => Node::Bytes(bytes.to_vec()),
            _ => return Err("text that is not UTF-8".to_owned()),
        };
        self.push(node);
        Ok(())
    }

    fn collection(&mut self, opcode: u8) -> Result<(), Why> {
        match opcode {
            b')' => self.push(Node::Tuple(Vec::new())),
            b't' => {
                let items = self.after_mark()?;
                self.push(Node::Tuple(items));
            }
            0x85..=0x87 => {
                let mut items = (0..opcode - 0x84).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                self.push(Node::Tuple(items));
            }
            // A set is a list whose order means nothing.
            b']' | 0x8f => self.push(Node::List(Vec::new())),
            b'l' | 0x91 => {
                let items = self.after_mark()?;
                self.push(Node::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.after_mark()?;
                self.append(items)?;
            }
            b'}' => self.push(Node::Dict(Vec::new())),
            b'd' => {
                let items = self.after_mark()?;
                self.push(Node::Dict(Vec::new()));
                self.set(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])?;
            }
            _ => {
                let items = self.after_mark()?;
                self.set(items)?;
            }
        }
        Ok(())
    }

    /// Adds to the list on top of the stack. Items of objects that are lists of their own kind are no tensors' and dropped.
    fn append(&mut self, items: Vec<Id>) -> Result<(), Why> {
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::List(list) => list.extend(items),
            Node::Object { .. } => {}
            _ => return Err("an item is added to what is no list".to_owned()),
        }
        Ok(())
    }

    /// Sets keys of the dictionary on top of the stack.
    fn set(&mut self, items: Vec<Id>) -> Result<(), Why> {
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value".to_owned());
        }
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::Dict(pairs) => pairs.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            Node::Object { .. } => {}
            _ => return Err("a key is set on what is no dictionary".to_owned()),
        }
        Ok(())
    }

    fn object(&mut self, opcode: u8, cursor: &mut Cursor<'_>) -> Result<(), Why> {
        match opcode {
            b'c' => {
                let (module, name) = (cursor.line(b'\n')?, cursor.line(b'\n')?);
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                self.push(Node::Global(text(module), text(name)));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Text(name), Node::Text(module)) = (&self.nodes[name], &self.nodes[module]) else {
                    return Err("a class is named by what is no text".to_owned());
                };
                let (module, name) = (module.clone(), name.clone());
                self.push(Node::Global(module, name));
            }
            b'R' | 0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.call(class, arguments, cursor.position())?;
            }
            0x92 => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(class, arguments, cursor.position())?;
            }
            b'b' => {
                let given = self.pop()?;
                let top = self.top()?;
                // Attributes set on a dictionary (`_metadata` of a state dict) are no items of it.
                if let Node::Object { state, .. } = &mut self.nodes[top] {
                    *state = Some(given);
                }
            }
            b'Q' => {
                let about = self.pop()?;
                self.push(Node::Persistent(about));
            }
            b'P' => {
                let line = String::from_utf8_lossy(cursor.line(b'\n')?).into_owned();
                self.nodes.push(Node::Text(line));
                let about = self.nodes.len() - 1;
                self.push(Node::Persistent(about));
            }
            _ => return Err("instances of protocol 0 are not read".to_owned()),
        }
        Ok(())
    }

    /// `read` is how many bytes the pickle has had so far.
    fn call(&mut self, class: Id, arguments: Id, read: usize) -> Result<(), Why> {
        if let Node::Global(module, name) = &self.nodes[class]
            && matches!(module.as_str(), "builtins" | "__builtin__")
            && matches!(name.as_str(), "set" | "frozenset")
            && let Some(&list) = self.items_of(arguments).first()
        {
            // A set is the list it is made of.
            self.stack.push(list);
            return Ok(());
        }
        let ordered = matches!(&self.nodes[class], Node::Global(module, name) if module == "collections" && name == "OrderedDict");
        if ordered {
            // Python 2 gave the items as an argument: a list of pairs.
            let first = self.items_of(arguments).first().copied();
            let pairs = first.map(|list| self.items_of(list).to_vec()).unwrap_or_default();
            self.copied += pairs.len();
            if self.copied > read {
                return Err("the same items are copied again and again".to_owned());
            }
            let pairs = pairs.iter().filter_map(|&pair| match self.items_of(pair) {
                &[key, value] => Some((key, value)),
                _ => None,
            });
            let node = Node::Dict(pairs.collect());
            self.push(node);
        } else {
            self.push(Node::Object { class, arguments, state: None });
        }
        Ok(())
    }

    fn items_of(&self, id: Id) -> &[Id] {
        match &self.nodes[id] {
            Node::Tuple(items) | Node::List(items) => items,
            _ => &[],
        }
    }
}

/// A little-endian two's complement integer.
fn integer(bytes: &[u8]) -> Node {
    if bytes.len() > 8 {
        return Node::Long(bytes.to_vec());
    }
    let fill = if bytes.last().is_some_and(|&last| last >= 0x80) { 0xFF } else { 0 };
    let mut wide = [fill; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Node::Int(i64::from_le_bytes(wide))
}

fn parsed(cursor: &mut Cursor<'_>) -> Result<u64, Why> {
    from_text(cursor.line(b'\n')?)
}

fn from_text<T: std::str::FromStr>(line: &[u8]) -> Result<T, Why> {
    let wrong = || format!("`{}` is no number", String::from_utf8_lossy(&line[..line.len().min(40)]));
    std::str::from_utf8(line).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(wrong)
}
