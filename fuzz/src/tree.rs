//! XML as a flat list that can be compared: expanded names, attributes as sets, text in one piece.

use std::collections::BTreeMap;

use epode::xml::{Element, ElementRef, Node, XmlEvent};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Start {
        namespace: String,
        name: String,
        attributes: BTreeMap<(String, String), String>,
    },
    Text(String),
    End,
}

/// The items of one element.
pub fn of(element: &Element) -> Vec<Item> {
    let mut items = Vec::new();
    add(element.root(), &mut items);
    items
}

/// The items of the document that these events of a stream make up.
pub fn of_stream(events: &[XmlEvent]) -> Vec<Item> {
    let mut items = Vec::new();
    for event in events {
        match event {
            XmlEvent::Open(root) => {
                add(root.root(), &mut items);
                items.pop();
            }
            XmlEvent::Element(element) => add(element.root(), &mut items),
            XmlEvent::Close => items.push(Item::End),
        }
    }
    items
}

// Our own trees are at most 64 elements deep.
fn add(element: ElementRef<'_>, items: &mut Vec<Item>) {
    let attributes = element.attributes();
    items.push(Item::Start {
        namespace: element.namespace().into(),
        name: element.name().into(),
        attributes: attributes
            .map(|attribute| {
                let name = (attribute.namespace.to_string(), attribute.name.to_string());
                (name, attribute.value.to_string())
            })
            .collect(),
    });
    for node in element.nodes() {
        match node {
            Node::Element(child) => add(child, items),
            Node::Text(text) => items.push(Item::Text(text.into())),
        }
    }
    items.push(Item::End);
}

/// The same list without the text directly in the root: a stream has only white space there, which it does not report.
pub fn without_text_in_root(items: Vec<Item>) -> Vec<Item> {
    let mut depth = 0_usize;
    items
        .into_iter()
        .filter(|item| {
            match item {
                Item::Start { .. } => depth += 1,
                Item::End => depth = depth.saturating_sub(1),
                Item::Text(_) => return depth != 1,
            }
            true
        })
        .collect()
}
