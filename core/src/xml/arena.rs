//! The flat table behind an element: nodes in document order, attributes, and one buffer with all of their text.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

/// A piece of the text buffer. Offsets are 32 bits wide to halve the table; `Arena::add` refuses what they cannot address.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

impl Span {
    pub(super) fn is_empty(self) -> bool {
        self.length == 0
    }
}

/// An element or a piece of text. The children of node `i` are the nodes up to `end`, each followed by its own descendants.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NodeData {
    /// One past the last descendant.
    pub(super) end: u32,
    /// The local name of an element, or the text.
    pub(super) span: Span,
    /// Index into the namespaces, or `TEXT`.
    pub(super) namespace: u32,
    /// The element's slice of the attribute table.
    pub(super) attributes: (u32, u32),
}

/// In place of a namespace: the node is text.
pub(super) const TEXT: u32 = u32::MAX;

impl NodeData {
    pub(super) fn is_text(&self) -> bool {
        self.namespace == TEXT
    }

    pub(super) fn end(&self) -> usize {
        self.end as usize
    }
}

/// An attribute. It holds its namespace by itself, not through the table, so that `replace_namespace` cannot make two attributes equal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AttributeData {
    /// Empty for an attribute in no namespace.
    pub(super) namespace: Span,
    pub(super) prefix: Span,
    pub(super) name: Span,
    pub(super) value: Span,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Arena {
    text: String,
    pub(super) nodes: Vec<NodeData>,
    pub(super) attributes: Vec<AttributeData>,
    /// Mostly without repetition (see `intern`); compare the strings, not the indexes.
    namespaces: Vec<Span>,
    /// More than the offsets can address was added; what is in here is incomplete.
    overflow: bool,
}

/// How far back `intern` looks. More would make elements with thousands of namespaces quadratic; a repeated entry does no harm.
const INTERN_WINDOW: usize = 16;

impl Arena {
    /// Room for a typical stanza, so that it is filled without growing.
    pub(super) fn for_stanza() -> Self {
        Self {
            text: String::with_capacity(512),
            nodes: Vec::with_capacity(16),
            attributes: Vec::with_capacity(16),
            namespaces: Vec::with_capacity(4),
            overflow: false,
        }
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.nodes.clear();
        self.attributes.clear();
        self.namespaces.clear();
        self.overflow = false;
    }

    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.nodes.shrink_to_fit();
        self.attributes.shrink_to_fit();
        self.namespaces.shrink_to_fit();
    }

    pub(super) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// About as many bytes as all of it takes as XML: end tags repeat names, and there are quotes and brackets.
    pub(super) fn expected_xml(&self) -> usize {
        self.text.len() + 12 * self.nodes.len() + 4 * self.attributes.len()
    }

    /// The heap bytes that it holds.
    pub(super) fn memory(&self) -> usize {
        self.text.capacity()
            + self.nodes.capacity() * size_of::<NodeData>()
            + self.attributes.capacity() * size_of::<AttributeData>()
            + self.namespaces.capacity() * size_of::<Span>()
    }

    /// Whether something did not fit since the last call.
    pub(super) fn take_overflow(&mut self) -> bool {
        core::mem::take(&mut self.overflow)
    }

    pub(super) fn add(&mut self, text: &str) -> Span {
        let (Ok(start), Ok(length)) = (u32::try_from(self.text.len()), u32::try_from(text.len())) else {
            self.overflow = true;
            return Span::default();
        };
        if start.checked_add(length).is_none() {
            self.overflow = true;
            return Span::default();
        }
        self.text.push_str(text);
        Span { start, length }
    }

    pub(super) fn get(&self, span: Span) -> &str {
        let start = span.start as usize;
        self.text.get(start..start + span.length as usize).unwrap_or_default()
    }

    pub(super) fn node(&self, index: usize) -> NodeData {
        self.nodes.get(index).copied().unwrap_or_default()
    }

    pub(super) fn name(&self, index: usize) -> &str {
        self.get(self.node(index).span)
    }

    pub(super) fn namespace(&self, index: usize) -> &str {
        self.namespace_text(self.node(index).namespace)
    }

    pub(super) fn namespace_text(&self, namespace: u32) -> &str {
        self.get(self.namespace_span(namespace))
    }

    pub(super) fn namespace_span(&self, namespace: u32) -> Span {
        self.namespaces.get(namespace as usize).copied().unwrap_or_default()
    }

    pub(super) fn attributes_of(&self, index: usize) -> &[AttributeData] {
        self.attributes
            .get(attribute_range(&self.node(index)))
            .unwrap_or_default()
    }

    /// The index of a namespace, which is added unless it was among the last few.
    pub(super) fn intern(&mut self, namespace: &str) -> u32 {
        let known = self.namespaces.iter().enumerate().rev().take(INTERN_WINDOW);
        let found = known
            .filter(|(_, span)| self.get(**span) == namespace)
            .map(|(index, _)| index)
            .next();
        let index = found.unwrap_or_else(|| {
            let span = self.add(namespace);
            self.namespaces.push(span);
            self.namespaces.len() - 1
        });
        to_u32(index)
    }

    /// Renames a namespace for all elements in it (not for attributes). False if there is no room for the new name.
    pub(super) fn rename_namespace(&mut self, from: &str, to: &str) -> bool {
        let known =
            |arena: &Self, index: &usize| arena.get(arena.namespaces.get(*index).copied().unwrap_or_default()) == from;
        let Some(first) = (0..self.namespaces.len()).find(|index| known(self, index)) else {
            return true;
        };
        let span = self.add(to);
        if self.take_overflow() {
            return false;
        }
        for index in first..self.namespaces.len() {
            let matches = known(self, &index);
            if let Some(entry) = self.namespaces.get_mut(index).filter(|_| matches) {
                *entry = span;
            }
        }
        true
    }

    /// Gives node 0 these attributes. They end up at the end of the table, where the next change costs nothing but them.
    pub(super) fn set_root_attributes(&mut self, attributes: &[AttributeData]) {
        let old = attribute_range(&self.node(0));
        if old.end == self.attributes.len() {
            self.attributes.truncate(old.start);
        }
        let start = to_u32(self.attributes.len());
        self.attributes.extend_from_slice(attributes);
        let end = to_u32(self.attributes.len());
        if let Some(root) = self.nodes.first_mut() {
            root.attributes = (start, end);
        }
    }

    /// Opens an element at the end of the table; `close` says where it ends.
    pub(super) fn open(&mut self, namespace: u32, name: &str) -> usize {
        let index = self.nodes.len();
        let attributes = to_u32(self.attributes.len());
        let span = self.add(name);
        self.nodes.push(NodeData {
            end: to_u32(index + 1),
            span,
            namespace,
            attributes: (attributes, attributes),
        });
        index
    }

    pub(super) fn close(&mut self, index: usize) {
        let end = to_u32(self.nodes.len());
        if let Some(node) = self.nodes.get_mut(index) {
            node.end = end;
        }
    }

    /// Adds text; `adjacent` says that the last node of the table is text with the same parent, which then grows.
    pub(super) fn push_text(&mut self, text: &str, adjacent: bool) {
        if text.is_empty() {
            return;
        }
        match self.nodes.last().copied() {
            Some(last) if adjacent => self.extend_text(last, text),
            Some(_) | None => self.push_text_node(text),
        }
    }

    fn extend_text(&mut self, last: NodeData, more: &str) {
        let mut span = last.span;
        if span.start as usize + span.length as usize != self.text.len() {
            // Something else was added to the buffer since: the text moves to its end to stay in one piece.
            let moved: String = self.get(span).into();
            span = self.add(&moved);
        }
        let more = self.add(more);
        span.length = span.length.saturating_add(more.length);
        if let Some(last) = self.nodes.last_mut() {
            last.span = span;
        }
    }

    fn push_text_node(&mut self, text: &str) {
        let span = self.add(text);
        let end = to_u32(self.nodes.len() + 1);
        self.nodes.push(NodeData {
            end,
            span,
            namespace: TEXT,
            attributes: (0, 0),
        });
    }

    /// Adds a copy of node `index` of another table, with all below it, at the end of this one.
    pub(super) fn graft(&mut self, other: &Self, index: usize) {
        let end = other.node(index).end();
        let target = self.nodes.len();
        // Neighbours mostly share their namespace.
        let mut last: Option<(u32, u32)> = None;
        for (offset, node) in other.nodes.get(index..end).unwrap_or_default().iter().enumerate() {
            let namespace = match last {
                _ if node.is_text() => TEXT,
                Some((theirs, ours)) if theirs == node.namespace => ours,
                _ => {
                    let ours = self.intern(other.namespace_text(node.namespace));
                    last = Some((node.namespace, ours));
                    ours
                }
            };
            let start = to_u32(self.attributes.len());
            for attribute in other.attributes.get(attribute_range(node)).unwrap_or_default() {
                let copied = self.copy_attribute(other, attribute);
                self.attributes.push(copied);
            }
            let span = self.add(other.get(node.span));
            self.nodes.push(NodeData {
                end: to_u32(target + offset + (node.end() - index - offset)),
                span,
                namespace,
                attributes: (start, to_u32(self.attributes.len())),
            });
        }
    }

    fn copy_attribute(&mut self, other: &Self, attribute: &AttributeData) -> AttributeData {
        let namespace = if attribute.namespace.is_empty() {
            Span::default()
        } else {
            let index = self.intern(other.get(attribute.namespace));
            self.namespace_span(index)
        };
        AttributeData {
            namespace,
            prefix: self.add(other.get(attribute.prefix)),
            name: self.add(other.get(attribute.name)),
            value: self.add(other.get(attribute.value)),
        }
    }

    /// Orders attributes by namespace and name, which find an attribute; the prefix says nothing.
    pub(super) fn compare_attributes(&self, left: &AttributeData, right: &AttributeData) -> Ordering {
        let by_namespace = self.get(left.namespace).cmp(self.get(right.namespace));
        by_namespace.then_with(|| self.get(left.name).cmp(self.get(right.name)))
    }

    /// The first attribute found that has the same expanded name as another one. `order` is scratch space that is overwritten.
    pub(super) fn duplicate_attribute(
        &self,
        attributes: &[AttributeData],
        order: &mut Vec<(u64, u32)>,
    ) -> Option<Span> {
        // Comparing every pair is cheapest for the few attributes that real elements have; sorting keeps many from being quadratic.
        if attributes.len() <= 8 {
            let pairs = attributes
                .iter()
                .enumerate()
                .flat_map(|(i, left)| attributes.iter().skip(i + 1).map(move |r| (left, r)));
            return pairs
                .filter(|(left, right)| left.name.length == right.name.length)
                .find(|(left, right)| self.compare_attributes(left, right).is_eq())
                .map(|(left, _)| left.name);
        }
        order.clear();
        order.extend(
            attributes
                .iter()
                .enumerate()
                .map(|(index, attribute)| (self.fingerprint(attribute), to_u32(index))),
        );
        order.sort_unstable();
        // Equal attributes are now next to each other, maybe with some that only have the same fingerprint between them.
        let at = |entry: &(u64, u32)| attributes.get(entry.1 as usize).copied().unwrap_or_default();
        for alike in order
            .chunk_by_mut(|left, right| left.0 == right.0)
            .filter(|alike| alike.len() > 1)
        {
            alike.sort_unstable_by(|left, right| self.compare_attributes(&at(left), &at(right)));
            let mut neighbours = alike.iter().zip(alike.iter().skip(1));
            if let Some((left, _)) =
                neighbours.find(|(left, right)| self.compare_attributes(&at(left), &at(right)).is_eq())
            {
                return Some(at(left).name);
            }
        }
        None
    }

    /// The same for equal attributes, and almost always different for others (FNV-1a). Who finds collisions makes us sort by name instead,
    /// nothing worse.
    fn fingerprint(&self, attribute: &AttributeData) -> u64 {
        let start = 0xcbf2_9ce4_8422_2325 ^ u64::from(attribute.namespace.length);
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.get(attribute.name).bytes().fold(start, mix)
    }

    /// Whether two elements are the same tree: names, namespaces, text, and attributes as a set.
    pub(super) fn same_tree(&self, index: usize, other: &Self, other_index: usize) -> bool {
        let ours = self.nodes.get(index..self.node(index).end()).unwrap_or_default();
        let theirs = other
            .nodes
            .get(other_index..other.node(other_index).end())
            .unwrap_or_default();
        ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(left, right)| {
                left.is_text() == right.is_text()
                    && left.end() - index == right.end() - other_index
                    && self.get(left.span) == other.get(right.span)
                    && (left.is_text() || self.namespace_text(left.namespace) == other.namespace_text(right.namespace))
                    && self.same_attributes(left, other, right)
            })
    }

    fn same_attributes(&self, left: &NodeData, other: &Self, right: &NodeData) -> bool {
        let left = self.attributes.get(attribute_range(left)).unwrap_or_default();
        let right = other.attributes.get(attribute_range(right)).unwrap_or_default();
        if left.len() != right.len() {
            return false;
        }
        let same = |(a, b): (&AttributeData, &AttributeData)| {
            self.get(a.name) == other.get(b.name)
                && self.get(a.value) == other.get(b.value)
                && self.get(a.namespace) == other.get(b.namespace)
        };
        if left.iter().zip(right).all(same) {
            return true;
        }
        let (mut left, mut right): (Vec<_>, Vec<_>) = (left.iter().collect(), right.iter().collect());
        left.sort_unstable_by(|a, b| self.compare_attributes(a, b));
        right.sort_unstable_by(|a, b| other.compare_attributes(a, b));
        left.into_iter().zip(right).all(same)
    }
}

pub(super) fn attribute_range(node: &NodeData) -> Range<usize> {
    node.attributes.0 as usize..node.attributes.1 as usize
}

/// Table indexes are at most the bytes that made them, of which `add` takes 4 GiB; the reader and the builder refuse what is larger.
pub(super) fn to_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
