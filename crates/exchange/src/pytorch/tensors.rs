//! Which tensors a pickle's tree describes, under which names.
//!
//! Dictionaries, lists and modules are walked; the path to a tensor, joined by dots, is its name. A checkpoint of a training run has its
//! weights under one key beside optimiser states and counters: that key is then the root, and what lies beside it is noted.

use seedpress_codec::tensor::element_count;

use crate::cursor::Why;
use crate::pytorch::pickle::{Id, Node, Pickle};
use crate::scalar::Scalar;
use crate::strided::extent;

/// Levels of dictionaries and modules. Real models have about ten.
const MAX_DEPTH: usize = 128;
/// Keys that hold the weights of a training checkpoint, the likelier first.
const WEIGHT_KEYS: &[&str] = &["state_dict", "model_state_dict", "model", "module", "params_ema", "params", "weights"];

/// A tensor: a view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Described {
    pub name: String,
    pub scalar: Scalar,
    pub shape: Vec<usize>,
    /// In elements.
    pub strides: Vec<usize>,
    /// The storage's key.
    pub storage: String,
    /// The first element, in elements from the storage's beginning.
    pub offset: usize,
}

/// What a pickle holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub tensors: Vec<Described>,
    /// Numbers and text beside them.
    pub metadata: Vec<(String, String)>,
    /// What is left out, a sentence each.
    pub notes: Vec<String>,
}

/// Finds the tensors of a pickle.
pub(super) fn contents(pickle: &Pickle) -> Result<Contents, Why> {
    let mut root = pickle.root();
    let mut contents = Contents::default();
    if let Some((key, inner)) = weight_key(pickle, root) {
        if let Node::Dict(pairs) = pickle.node(root) {
            let others = pairs.iter().filter_map(|(name, _)| pickle.text(*name)).filter(|name| *name != key);
            let others: Vec<String> = others.map(|name| format!("`{}`", name.escape_debug())).collect();
            if !others.is_empty() {
                contents
                    .notes
                    .push(format!("weights are those of `{key}`; beside it, left out: {}", others.join(", ")));
            }
        }
        root = inner;
    }
    // Tied weights are met twice; a tree that is met far more often than it is large refers to itself.
    let visits = pickle.len().saturating_mul(4).saturating_add(1024);
    let mut walk = Walk { pickle, contents, visits };
    walk.visit(root, &mut Vec::new())?;
    Ok(walk.contents)
}

/// The key of a training checkpoint that holds the weights.
fn weight_key<'a>(pickle: &Pickle, root: Id) -> Option<(&'a str, Id)> {
    WEIGHT_KEYS.iter().find_map(|key| {
        let inner = pickle.get(root, key)?;
        let holds = matches!(pickle.node(inner), Node::Dict(_)) || module_state(pickle, inner).is_some();
        holds.then_some((*key, inner))
    })
}

/// The attributes of a pickled `torch.nn.Module` or a TorchScript module.
fn module_state(pickle: &Pickle, id: Id) -> Option<Id> {
    let Node::Object { class, state: Some(state), .. } = pickle.node(id) else { return None };
    let scripted = pickle.global(*class).is_some_and(|class| class.starts_with("__torch__"));
    (scripted || pickle.get(*state, "_parameters").is_some()).then_some(*state)
}

struct Walk<'a> {
    pickle: &'a Pickle,
    contents: Contents,
    visits: usize,
}

impl Walk<'_> {
    fn visit(&mut self, id: Id, path: &mut Vec<String>) -> Result<(), Why> {
        self.visits = self.visits.checked_sub(1).ok_or("it refers to itself")?;
        if path.len() > MAX_DEPTH {
            return Err(format!("it nests more than {MAX_DEPTH} levels"));
        }
        let pickle = self.pickle;
        match pickle.node(id) {
            Node::Dict(pairs) => {
                for &(key, value) in pairs {
                    let key = match pickle.node(key) {
                        Node::Text(text) => text.clone(),
                        Node::Int(number) => number.to_string(),
                        _ => {
                            self.note(path, "an entry whose key is neither text nor a number");
                            continue;
                        }
                    };
                    self.under(key, value, path)?;
                }
            }
            Node::List(items) | Node::Tuple(items) => {
                for (index, &item) in items.iter().enumerate() {
                    self.under(index.to_string(), item, path)?;
                }
            }
            Node::Object { .. } => self.object(id, path)?,
            Node::Bool(value) => self.scalar(path, if *value { "true" } else { "false" }.to_owned()),
            Node::Int(value) => self.scalar(path, value.to_string()),
            Node::Float(value) => self.scalar(path, value.to_string()),
            Node::Text(value) => self.scalar(path, value.clone()),
            Node::None => {}
            Node::Long(_) | Node::Bytes(_) | Node::Persistent(_) => self.note(path, "bytes or a long number"),
            Node::Global(module, name) => {
                let what = format!("`{}.{}`", module.escape_debug(), name.escape_debug());
                self.note(path, &what);
            }
        }
        Ok(())
    }

    fn under(&mut self, key: String, value: Id, path: &mut Vec<String>) -> Result<(), Why> {
        path.push(key);
        let outcome = self.visit(value, path);
        path.pop();
        outcome
    }

    fn scalar(&mut self, path: &[String], value: String) {
        self.contents.metadata.push((path.join("."), value));
    }

    fn note(&mut self, path: &[String], what: &str) {
        self.contents.notes.push(format!("`{}`: {what}: left out", path.join(".").escape_debug()));
    }

    fn object(&mut self, id: Id, path: &mut Vec<String>) -> Result<(), Why> {
        let pickle = self.pickle;
        let Node::Object { class, arguments, .. } = pickle.node(id) else { return Ok(()) };
        let class = pickle.global(*class).unwrap_or_default();
        let arguments = pickle.items(*arguments).unwrap_or_default();
        let tensor = |why: Why| format!("tensor `{}`: {why}", path.join(".").escape_debug());
        match class.as_str() {
            "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v3" => {
                let described = describe(pickle, &class, arguments, path.join(".")).map_err(tensor)?;
                self.contents.tensors.push(described);
            }
            "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
                let &data = arguments.first().ok_or("a parameter without a tensor")?;
                self.visit(data, path)?;
            }
            // Leaving weights out is worse than not reading the file.
            "torch._utils._rebuild_sparse_tensor"
            | "torch._utils._rebuild_qtensor"
            | "torch._utils._rebuild_nested_tensor"
            | "torch._utils._rebuild_wrapper_subclass" => {
                return Err(tensor("sparse, quantised and nested tensors are not read: save it dense".to_owned()));
            }
            _ => match module_state(pickle, id) {
                Some(state) => self.module(state, path)?,
                None => {
                    let what = format!("an object of `{}`, which is not made", class.escape_debug());
                    self.note(path, &what);
                }
            },
        }
        Ok(())
    }

    /// A module's parameters, buffers and modules, as its `state_dict` names them.
    fn module(&mut self, state: Id, path: &mut Vec<String>) -> Result<(), Why> {
        let pickle = self.pickle;
        let parts = ["_parameters", "_buffers", "_modules"];
        if parts.iter().all(|part| pickle.get(state, part).is_none()) {
            // TorchScript keeps them side by side.
            return self.visit(state, path);
        }
        let fleeting = pickle.get(state, "_non_persistent_buffers_set").and_then(|set| pickle.items(set));
        let fleeting: Vec<&str> = fleeting.unwrap_or_default().iter().filter_map(|&name| pickle.text(name)).collect();
        for part in parts {
            let Some(Node::Dict(pairs)) = pickle.get(state, part).map(|id| pickle.node(id)) else { continue };
            for &(key, value) in pairs {
                let Some(key) = pickle.text(key) else { continue };
                if part != "_buffers" || !fleeting.contains(&key) {
                    self.under(key.to_owned(), value, path)?;
                }
            }
        }
        Ok(())
    }
}

/// `(storage, offset, size, stride, ...)`.
fn describe(pickle: &Pickle, class: &str, arguments: &[Id], name: String) -> Result<Described, Why> {
    let [storage, offset, size, strides, rest @ ..] = arguments else { return Err("too few arguments".to_owned()) };
    let Node::Persistent(about) = pickle.node(*storage) else { return Err("it has no storage".to_owned()) };
    let (mut scalar, key, length, start) = storage_of(pickle, *about)?;
    let numbers = |id: Id| -> Option<Vec<usize>> {
        pickle.items(id)?.iter().map(|&item| usize::try_from(pickle.int(item)?).ok()).collect()
    };
    let shape = numbers(*size).ok_or("its size is no tuple of numbers")?;
    let strides = numbers(*strides).ok_or("its strides are no tuple of numbers")?;
    let offset =
        pickle.int(*offset).and_then(|offset| usize::try_from(offset).ok()).ok_or("its offset is no number")?;
    let mut length = length;
    if class.ends_with("_v3") {
        // The storage is of bytes, and the type an argument of its own.
        let dtype = rest.get(2).and_then(|&id| pickle.global(id)).unwrap_or_default();
        let typed = dtype_of(&dtype).ok_or_else(|| format!("its type `{}` is not read", dtype.escape_debug()))?;
        length = length * scalar.size() / typed.size();
        scalar = typed;
    }
    if shape.len() != strides.len() || element_count(&shape).is_none() {
        return Err("size and strides do not fit each other".to_owned());
    }
    let reach = extent(&shape, &strides).and_then(|reach| reach.checked_add(offset));
    if reach.is_none_or(|reach| reach > length) {
        return Err(format!("shape {shape:?} reaches beyond the {length} elements of its storage"));
    }
    let offset = offset.checked_add(start).ok_or("its offset overflows")?;
    Ok(Described { name, scalar, shape, strides, storage: key, offset })
}

/// `("storage", type, key, location, length)` and, in old files, a view: `(key, offset, length)` or nothing. Returns type, key, length
/// and where the view begins.
pub(super) fn storage_of(pickle: &Pickle, about: Id) -> Result<(Scalar, String, usize, usize), Why> {
    let items = pickle.items(about).unwrap_or_default();
    let [tag, kind, key, _, length, view @ ..] = items else {
        return Err("its storage is described by too little".to_owned());
    };
    if pickle.text(*tag) != Some("storage") {
        return Err("its storage is described by something else".to_owned());
    }
    let kind = pickle.global(*kind).unwrap_or_default();
    let scalar = storage_type(&kind).ok_or_else(|| format!("its storage `{}` is not read", kind.escape_debug()))?;
    let key = match pickle.node(*key) {
        Node::Text(key) => key.clone(),
        Node::Int(key) => key.to_string(),
        _ => return Err("its storage has no key".to_owned()),
    };
    let number = |id: Id| pickle.int(id).and_then(|number| usize::try_from(number).ok());
    let mut length = number(*length).ok_or("its storage has no length")?;
    let mut start = 0;
    if let Some(&[_, offset, part]) = view.first().and_then(|&view| pickle.items(view)) {
        let (offset, part) = number(offset).zip(number(part)).ok_or("its view is no pair of numbers")?;
        if offset.checked_add(part).is_none_or(|end| end > length) {
            return Err("its view reaches beyond its storage".to_owned());
        }
        (start, length) = (offset, part);
    }
    Ok((scalar, key, length, start))
}

/// `torch.FloatStorage` and the like.
fn storage_type(kind: &str) -> Option<Scalar> {
    Some(match kind.strip_prefix("torch.")?.trim_start_matches("storage.").strip_suffix("Storage")? {
        "Float" => Scalar::F32,
        "Half" => Scalar::F16,
        "BFloat16" => Scalar::BF16,
        "Double" => Scalar::F64,
        "Long" => Scalar::I64,
        "Int" => Scalar::I32,
        "Short" => Scalar::I16,
        "Char" => Scalar::I8,
        "Byte" | "Untyped" => Scalar::U8,
        "Bool" => Scalar::Bool,
        "ComplexFloat" => Scalar::C64,
        _ => return None,
    })
}

/// `torch.float32` and the like.
fn dtype_of(dtype: &str) -> Option<Scalar> {
    Some(match dtype.strip_prefix("torch.")? {
        "float32" => Scalar::F32,
        "float16" => Scalar::F16,
        "bfloat16" => Scalar::BF16,
        "float64" => Scalar::F64,
        "int64" => Scalar::I64,
        "int32" => Scalar::I32,
        "int16" => Scalar::I16,
        "int8" => Scalar::I8,
        "uint64" => Scalar::U64,
        "uint32" => Scalar::U32,
        "uint16" => Scalar::U16,
        "uint8" => Scalar::U8,
        "bool" => Scalar::Bool,
        "complex64" => Scalar::C64,
        "float8_e4m3fn" => Scalar::F8E4M3,
        "float8_e5m2" => Scalar::F8E5M2,
        _ => return None,
    })
}
