//! Opcodes that combine values of the stack: collections, names, calls, objects.

use super::PickleError;
use super::escapes::latin1;
use super::machine::Machine;
use super::opcodes::*;
use super::tree::{Handle, Node, Object};

/// Maximum length of a name.
const MAX_NAME_BYTES: usize = 512;
/// Longest text that is decoded at once, bytes.
const MAX_DECODED_TEXT: usize = 1 << 16;

impl Machine<'_, '_> {
    /// Executes an opcode that combines values of the stack.
    pub(super) fn composite_value(&mut self, code: u8) -> Result<(), PickleError> {
        let node = match code {
            TUPLE1 => Node::Tuple(vec![self.pop()?]),
            TUPLE2 | TUPLE3 => {
                let mut elements = Vec::with_capacity(3);
                for _ in 0..if code == TUPLE2 { 2 } else { 3 } {
                    elements.push(self.pop()?);
                }
                elements.reverse();
                Node::Tuple(elements)
            }
            TUPLE => Node::Tuple(self.pop_mark()?),
            LIST => Node::List(self.pop_mark()?),
            DICT => Node::Dict(self.pop_mark_pairs()?),
            FROZENSET => Node::Set(self.pop_mark()?),
            GLOBAL => {
                self.push_name_lines()?;
                let (name, module) = (self.pop()?, self.pop()?);
                self.global_node(module, name)?
            }
            STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                self.global_node(module, name)?
            }
            PERSID => {
                let range = self.take_line()?;
                self.push(Node::Text(range))?;
                Node::Persistent(self.pop()?)
            }
            BINPERSID => Node::Persistent(self.pop()?),
            REDUCE => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.reduce(callable, arguments)?
            }
            NEWOBJ => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.new_object(class, arguments)?
            }
            NEWOBJ_EX => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.new_object(class, arguments)?
            }
            INST => {
                let arguments = Node::Tuple(self.pop_mark()?);
                self.push(arguments)?;
                self.push_name_lines()?;
                let (name, module) = (self.pop()?, self.pop()?);
                let class = self.global_node(module, name)?;
                self.push(class)?;
                let (class, arguments) = (self.pop()?, self.pop()?);
                self.new_object(class, arguments)?
            }
            OBJ => {
                let mut values = self.pop_mark()?;
                if values.is_empty() {
                    return Err(self.damaged("an object without a class"));
                }
                let class = values.remove(0);
                self.push(Node::Tuple(values))?;
                let arguments = self.pop()?;
                self.new_object(class, arguments)?
            }
            APPEND | APPENDS | ADDITEMS | SETITEM | SETITEMS | BUILD => return self.fill(code),
            EXT1 | EXT2 | EXT4 | NEXT_BUFFER | READONLY_BUFFER => {
                return Err(self.damaged("it refers to data outside the file"));
            }
            code => return Err(PickleError::UnknownOpcode { offset: self.opcode_start, code }),
        };
        self.push(node)
    }

    /// Pushes two lines, a module and a name.
    fn push_name_lines(&mut self) -> Result<(), PickleError> {
        let (module, name) = (self.take_line()?, self.take_line()?);
        self.push(Node::Text(module))?;
        self.push(Node::Text(name))
    }

    /// A class or function whose name the policy accepts.
    fn global_node(&self, module: Handle, name: Handle) -> Result<Node, PickleError> {
        let is_short = |handle| self.tree.bytes(handle).is_some_and(|bytes| bytes.len() <= MAX_NAME_BYTES);
        let word = |handle| if is_short(handle) { self.tree.text(handle) } else { None };
        let names = word(module).zip(word(name)).ok_or_else(|| self.damaged("a class without a name"))?;
        if self.policy.allows_name(names.0, names.1) {
            return Ok(Node::Global { module, name });
        }
        Err(PickleError::Refused { offset: self.opcode_start, name: format!("{}.{}", names.0, names.1) })
    }

    fn name_of(&self, callable: Handle) -> Result<(&str, &str), PickleError> {
        let refused =
            || PickleError::Refused { offset: self.opcode_start, name: self.tree.describe(callable) };
        self.tree.global(callable).ok_or_else(refused)
    }

    /// Records a call if the policy accepts it.
    fn reduce(&mut self, callable: Handle, arguments: Handle) -> Result<Node, PickleError> {
        let (module, name) = self.name_of(callable)?;
        match (module, name) {
            ("_codecs", "encode") => return self.latin1_bytes(arguments),
            // in protocol 2 an empty bytes object is the call `bytes()`
            ("__builtin__" | "builtins", "bytes") if self.tree.elements(arguments) == Some(&[]) => {
                return self.owned_bytes(Vec::new());
            }
            // old protocols create objects by these functions: `(class, object, None)`, `(class, ...)`
            ("copy_reg" | "copyreg", "_reconstructor" | "__newobj__") => {
                let class = self.tree.elements(arguments).and_then(|arguments| arguments.first().copied());
                let class = class.ok_or_else(|| self.damaged("an object without a class"))?;
                return self.new_object(class, arguments);
            }
            _ => {}
        }
        if self.policy.allows_call(module, name) {
            return Ok(object_node(callable, arguments));
        }
        Err(PickleError::Refused { offset: self.opcode_start, name: format!("{module}.{name}") })
    }

    /// Records an object of a class if the policy accepts it.
    fn new_object(&self, class: Handle, arguments: Handle) -> Result<Node, PickleError> {
        let (module, name) = self.name_of(class)?;
        if self.policy.allows_object(module, name) || self.policy.allows_call(module, name) {
            return Ok(object_node(class, arguments));
        }
        Err(PickleError::Refused { offset: self.opcode_start, name: format!("{module}.{name}") })
    }

    /// Bytes that Python 3 wrote into an old protocol as Latin-1 text. Long ones are decoded when they are needed, so that the
    /// values of a large file are not in memory all at once.
    fn latin1_bytes(&mut self, arguments: Handle) -> Result<Node, PickleError> {
        let no_text = || self.damaged("`_codecs.encode` of something else than text");
        let text = self.tree.elements(arguments).and_then(|elements| elements.first().copied());
        let text = text.ok_or_else(no_text)?;
        if let Node::Text(range) = self.tree.node(text)
            && range.len() > MAX_DECODED_TEXT
        {
            return Ok(Node::Latin1(range.clone()));
        }
        let bytes = self.tree.bytes(text).ok_or_else(no_text)?;
        let bytes =
            latin1(bytes).ok_or_else(|| self.damaged("text that is not UTF-8, or a character above 255"))?;
        self.owned_bytes(bytes)
    }

    /// Adds values to the object below them on the stack.
    fn fill(&mut self, code: u8) -> Result<(), PickleError> {
        let (pairs, values) = match code {
            APPEND | BUILD => (Vec::new(), vec![self.pop()?]),
            APPENDS | ADDITEMS => (Vec::new(), self.pop_mark()?),
            SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                (vec![(key, value)], Vec::new())
            }
            _ => (self.pop_mark_pairs()?, Vec::new()),
        };
        let target = self.top()?;
        let node = &mut self.tree.nodes[target.0 as usize];
        let fits = match (code, node) {
            (APPEND | APPENDS, Node::List(list)) | (ADDITEMS, Node::Set(list)) => {
                list.extend(values);
                true
            }
            (APPEND | APPENDS | ADDITEMS, Node::Object(object)) => {
                object.items.extend(values);
                true
            }
            (SETITEM | SETITEMS, Node::Dict(entries)) => {
                entries.extend(pairs);
                true
            }
            (SETITEM | SETITEMS, Node::Object(object)) => {
                object.entries.extend(pairs);
                true
            }
            (BUILD, Node::Object(object)) => {
                object.state = values.first().copied();
                true
            }
            _ => false,
        };
        if fits {
            if code == BUILD { self.read_joblib_values(target) } else { Ok(()) }
        } else {
            Err(self.damaged(format!("{} cannot be filled", self.tree.describe(target))))
        }
    }
}

fn object_node(callable: Handle, arguments: Handle) -> Node {
    Node::Object(Box::new(Object {
        callable,
        arguments,
        state: None,
        entries: Vec::new(),
        items: Vec::new(),
    }))
}
