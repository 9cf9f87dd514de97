//! What each prefix stands for at the current place (Namespaces in XML 1.0), with lookups that do not depend on the depth.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use rxml::NcName;

use super::arena::{Arena, to_u32};
use super::{Fault, XML_NAMESPACE, XMLNS_NAMESPACE, XmlError};

/// A namespace name: one from around the current top-level element, or one in that element's own arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// Index into `Scope::outer`.
    Outer(u32),
    /// Index into the namespaces of the arena.
    Inner(u32),
}

const NO_NAMESPACE: Space = Space::Outer(0);
const XML: Space = Space::Outer(1);

/// The declarations in force.
#[derive(Debug)]
pub(super) struct Scope {
    outer: Vec<Outer>,
    /// Kept apart, since nearly all names have no prefix.
    default: Space,
    /// By prefix: what it stands for, and the number of the tag that said so.
    prefixes: BTreeMap<NcName, (Space, u64)>,
    /// What `prefixes` said before each declaration in force, to go back to at the end of an element.
    undo: Vec<(NcName, Option<(Space, u64)>)>,
    /// Declarations in force, of prefixes and of the default.
    count: usize,
    /// Number of the current start tag, and whether it has declared the default namespace.
    tag: u64,
    default_declared: bool,
}

#[derive(Debug)]
struct Outer {
    uri: String,
    /// Its index in the arena of the current element, once that needed it.
    imported: Option<u32>,
}

/// What to go back to when an element ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    default: Space,
    undo: usize,
    count: usize,
}

impl Scope {
    pub(super) fn new() -> Self {
        let outer = [String::new(), String::from(XML_NAMESPACE)];
        Self {
            outer: outer.into_iter().map(|uri| Outer { uri, imported: None }).collect(),
            default: NO_NAMESPACE,
            prefixes: BTreeMap::new(),
            undo: Vec::new(),
            count: 0,
            tag: 0,
            default_declared: false,
        }
    }

    /// Declares a prefix for the whole document, as if around its root.
    pub(super) fn predeclare(&mut self, prefix: NcName, uri: &str) {
        let space = self.add_outer(uri);
        self.prefixes.insert(prefix, (space, self.tag));
    }

    /// Declarations in force.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A start tag begins. `fresh` says that it starts a new arena.
    pub(super) fn enter(&mut self, fresh: bool) -> Mark {
        if fresh {
            for outer in &mut self.outer {
                outer.imported = None;
            }
        }
        self.tag += 1;
        self.default_declared = false;
        Mark {
            default: self.default,
            undo: self.undo.len(),
            count: self.count,
        }
    }

    /// The element that `enter` was for has ended.
    pub(super) fn leave(&mut self, mark: Mark) {
        self.default = mark.default;
        self.count = mark.count;
        while self.undo.len() > mark.undo {
            match self.undo.pop() {
                Some((prefix, Some(before))) => {
                    self.prefixes.insert(prefix, before);
                }
                Some((prefix, None)) => {
                    self.prefixes.remove(&prefix);
                }
                None => break,
            }
        }
    }

    /// `xmlns='uri'` in the current tag.
    pub(super) fn declare_default(&mut self, uri: &str, arena: &mut Arena) -> Result<(), XmlError> {
        // Namespaces in XML 1.0 §3: neither reserved namespace may be the default.
        if uri == XML_NAMESPACE || uri == XMLNS_NAMESPACE {
            return Err(XmlError::fault(Fault::ReservedNamespace));
        }
        if self.default_declared {
            return Err(XmlError::fault(Fault::DuplicateAttribute));
        }
        self.default_declared = true;
        self.default = if uri.is_empty() {
            NO_NAMESPACE
        } else {
            Space::Inner(arena.intern(uri))
        };
        self.count += 1;
        Ok(())
    }

    /// `xmlns:prefix='uri'` in the current tag.
    pub(super) fn declare_prefix(&mut self, prefix: NcName, uri: &str, arena: &mut Arena) -> Result<(), XmlError> {
        // Namespaces in XML 1.0 §3 and §2.2 (no undeclaring of a prefix).
        let xml = (prefix == "xml", uri == XML_NAMESPACE);
        if prefix == "xmlns" || uri == XMLNS_NAMESPACE || uri.is_empty() || xml.0 != xml.1 {
            return Err(XmlError::fault(Fault::ReservedNamespace));
        }
        let space = if xml.1 { XML } else { Space::Inner(arena.intern(uri)) };
        let before = self.prefixes.insert(prefix.clone(), (space, self.tag));
        if before.is_some_and(|(_, tag)| tag == self.tag) {
            return Err(XmlError::fault(Fault::DuplicateAttribute));
        }
        self.undo.push((prefix, before));
        self.count += 1;
        Ok(())
    }

    /// The namespace of an element without prefix.
    pub(super) fn default_namespace(&mut self, arena: &mut Arena) -> u32 {
        self.import(self.default, arena)
    }

    /// The namespace that a prefix stands for.
    pub(super) fn lookup(&mut self, prefix: &str, arena: &mut Arena) -> Result<u32, XmlError> {
        let space = match prefix {
            "xml" => XML,
            // Namespaces in XML 1.0 §3: elements must not have the prefix xmlns.
            "xmlns" => return Err(XmlError::fault(Fault::ReservedNamespace)),
            _ => match self.prefixes.get(prefix) {
                Some((space, _)) => *space,
                None => return Err(XmlError::fault(Fault::UndeclaredPrefix)),
            },
        };
        Ok(self.import(space, arena))
    }

    /// The root of a stream has opened: what it declared is from now on around every element, whatever arena that has. Returns the default.
    pub(super) fn keep_root_declarations<'a>(&mut self, arena: &'a Arena) -> &'a str {
        let content = match self.default {
            Space::Inner(index) => arena.namespace_text(index),
            // The root declared none, or undeclared it.
            Space::Outer(_) => "",
        };
        self.default = self.outlive(self.default, arena);
        let declared: Vec<NcName> = self.undo.iter().map(|(prefix, _)| prefix.clone()).collect();
        for prefix in declared {
            let Some((space, tag)) = self.prefixes.get(&prefix).copied() else {
                continue;
            };
            let space = self.outlive(space, arena);
            self.prefixes.insert(prefix, (space, tag));
        }
        self.undo = Vec::new();
        content
    }

    fn outlive(&mut self, space: Space, arena: &Arena) -> Space {
        match space {
            Space::Outer(_) => space,
            Space::Inner(index) => self.add_outer(arena.namespace_text(index)),
        }
    }

    fn add_outer(&mut self, uri: &str) -> Space {
        self.outer.push(Outer {
            uri: uri.into(),
            imported: None,
        });
        Space::Outer(to_u32(self.outer.len() - 1))
    }

    fn import(&mut self, space: Space, arena: &mut Arena) -> u32 {
        match space {
            Space::Inner(index) => index,
            Space::Outer(index) => match self.outer.get_mut(index as usize) {
                Some(outer) => *outer.imported.get_or_insert_with(|| arena.intern(&outer.uri)),
                None => arena.intern(""),
            },
        }
    }
}
