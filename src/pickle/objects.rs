//! The machine's instructions that make something of what lies on the stack: collections, names, calls, objects.

use super::PickleError;
use super::machine::Machine;
use super::opcodes::*;
use super::tree::{Handle, Made, Node};

/// Names are this long at most.
const LONGEST_NAME_BYTES: usize = 512;

impl Machine<'_, '_> {
    /// An instruction that makes something of what lies on the stack.
    pub(super) fn gather(&mut self, code: u8) -> Result<(), PickleError> {
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
            TUPLE => Node::Tuple(self.since_mark()?),
            LIST => Node::List(self.since_mark()?),
            DICT => Node::Dict(self.pairs_since_mark()?),
            FROZENSET => Node::Set(self.since_mark()?),
            GLOBAL => {
                self.written_name()?;
                let (name, module) = (self.pop()?, self.pop()?);
                self.named(module, name)?
            }
            STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                self.named(module, name)?
            }
            PERSID => {
                let range = self.line()?;
                self.push(Node::Text(range))?;
                Node::Persistent(self.pop()?)
            }
            BINPERSID => Node::Persistent(self.pop()?),
            REDUCE => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.called(callable, arguments)?
            }
            NEWOBJ => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.stands(class, arguments)?
            }
            NEWOBJ_EX => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.stands(class, arguments)?
            }
            INST => {
                let arguments = Node::Tuple(self.since_mark()?);
                self.push(arguments)?;
                self.written_name()?;
                let (name, module) = (self.pop()?, self.pop()?);
                let class = self.named(module, name)?;
                self.push(class)?;
                let (class, arguments) = (self.pop()?, self.pop()?);
                self.stands(class, arguments)?
            }
            OBJ => {
                let mut values = self.since_mark()?;
                if values.is_empty() {
                    return Err(self.damaged("an object without a class"));
                }
                let class = values.remove(0);
                self.push(Node::Tuple(values))?;
                let arguments = self.pop()?;
                self.stands(class, arguments)?
            }
            APPEND | APPENDS | ADDITEMS | SETITEM | SETITEMS | BUILD => return self.fill(code),
            EXT1 | EXT2 | EXT4 | NEXT_BUFFER | READONLY_BUFFER => {
                return Err(self.damaged("it refers to something outside of the file"));
            }
            code => return Err(PickleError::NoOpcode { at: self.began, code }),
        };
        self.push(node)
    }

    /// Two lines, a module and a name, onto the stack.
    fn written_name(&mut self) -> Result<(), PickleError> {
        let (module, name) = (self.line()?, self.line()?);
        self.push(Node::Text(module))?;
        self.push(Node::Text(name))
    }

    /// A class or a function, which the policy lets be named.
    fn named(&self, module: Handle, name: Handle) -> Result<Node, PickleError> {
        let is_short =
            |handle| self.tree.bytes(handle).is_some_and(|bytes| bytes.len() <= LONGEST_NAME_BYTES);
        let word = |handle| if is_short(handle) { self.tree.text(handle) } else { None };
        let names = word(module).zip(word(name)).ok_or_else(|| self.damaged("a class without a name"))?;
        if self.policy.may_be_named(names.0, names.1) {
            return Ok(Node::Global { module, name });
        }
        Err(PickleError::Refused { at: self.began, name: format!("{}.{}", names.0, names.1) })
    }

    fn name_of(&self, callable: Handle) -> Result<(&str, &str), PickleError> {
        let refused = || PickleError::Refused { at: self.began, name: self.tree.describe(callable) };
        self.tree.global(callable).ok_or_else(refused)
    }

    /// A call, written down if it makes data.
    fn called(&mut self, callable: Handle, arguments: Handle) -> Result<Node, PickleError> {
        let (module, name) = self.name_of(callable)?;
        match (module, name) {
            ("_codecs", "encode") => return self.encoded(arguments),
            // how old protocols say that an object of a class stands here: `(class, object, None)`, `(class, ...)`
            ("copy_reg" | "copyreg", "_reconstructor" | "__newobj__") => {
                let class = self.tree.elements(arguments).and_then(|arguments| arguments.first().copied());
                let class = class.ok_or_else(|| self.damaged("an object without a class"))?;
                return self.stands(class, arguments);
            }
            _ => {}
        }
        if self.policy.may_be_called(module, name) {
            return Ok(made(callable, arguments));
        }
        Err(PickleError::Refused { at: self.began, name: format!("{module}.{name}") })
    }

    /// An object of a class, without the class.
    fn stands(&self, class: Handle, arguments: Handle) -> Result<Node, PickleError> {
        let (module, name) = self.name_of(class)?;
        if self.policy.may_stand(module, name) || self.policy.may_be_called(module, name) {
            return Ok(made(class, arguments));
        }
        Err(PickleError::Refused { at: self.began, name: format!("{module}.{name}") })
    }

    /// Python 3 writes bytes into old protocols as text, a character per byte.
    fn encoded(&mut self, arguments: Handle) -> Result<Node, PickleError> {
        let text = self.tree.elements(arguments).and_then(|elements| self.tree.text(*elements.first()?));
        let text = text.ok_or_else(|| self.damaged("`_codecs.encode` of something else than text"))?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(|letter| u8::try_from(u32::from(letter))).collect();
        let bytes = bytes.map_err(|_| self.damaged("a character that is no byte"))?;
        self.own(bytes)
    }

    /// Puts values into what was made before them.
    fn fill(&mut self, code: u8) -> Result<(), PickleError> {
        let (pairs, values) = match code {
            APPEND | BUILD => (Vec::new(), vec![self.pop()?]),
            APPENDS | ADDITEMS => (Vec::new(), self.since_mark()?),
            SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                (vec![(key, value)], Vec::new())
            }
            _ => (self.pairs_since_mark()?, Vec::new()),
        };
        let target = self.top()?;
        let node = &mut self.tree.nodes[target.0 as usize];
        let fits = match (code, node) {
            (APPEND | APPENDS, Node::List(list)) | (ADDITEMS, Node::Set(list)) => {
                list.extend(values);
                true
            }
            (APPEND | APPENDS | ADDITEMS, Node::Made(made)) => {
                made.items.extend(values);
                true
            }
            (SETITEM | SETITEMS, Node::Dict(entries)) => {
                entries.extend(pairs);
                true
            }
            (SETITEM | SETITEMS, Node::Made(made)) => {
                made.entries.extend(pairs);
                true
            }
            (BUILD, Node::Made(made)) => {
                made.state = values.first().copied();
                true
            }
            _ => false,
        };
        if fits {
            if code == BUILD { self.take_numbers_behind(target) } else { Ok(()) }
        } else {
            Err(self.damaged(format!("{} cannot be filled", self.tree.describe(target))))
        }
    }
}

fn made(callable: Handle, arguments: Handle) -> Node {
    Node::Made(Box::new(Made { callable, arguments, state: None, entries: Vec::new(), items: Vec::new() }))
}
