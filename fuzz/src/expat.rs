//! The same list from libexpat, the parser under several servers: what it refuses, we must not accept.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};

use crate::tree::Item;

type Parser = *mut c_void;
type StartHandler = extern "C" fn(*mut c_void, *const c_char, *const *const c_char);
type EndHandler = extern "C" fn(*mut c_void, *const c_char);
type TextHandler = extern "C" fn(*mut c_void, *const c_char, c_int);

// expat.h of libexpat 2.5
#[link(name = "expat")]
unsafe extern "C" {
    fn XML_ParserCreateNS(encoding: *const c_char, separator: c_char) -> Parser;
    fn XML_ParserFree(parser: Parser);
    fn XML_SetUserData(parser: Parser, data: *mut c_void);
    fn XML_SetElementHandler(parser: Parser, start: StartHandler, end: EndHandler);
    fn XML_SetCharacterDataHandler(parser: Parser, text: TextHandler);
    fn XML_SetHashSalt(parser: Parser, salt: c_ulong) -> c_int;
    fn XML_Parse(parser: Parser, bytes: *const c_char, length: c_int, is_final: c_int) -> c_int;
    fn XML_GetErrorCode(parser: Parser) -> c_int;
    fn XML_GetCurrentByteIndex(parser: Parser) -> c_long;
}

/// No XML document can contain this character, so it cannot be part of a name.
const SEPARATOR: u8 = 1;

pub const INVALID_TOKEN: c_int = 4;

/// Where and why libexpat stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: c_int,
    pub at: usize,
}

/// The items of a whole document.
pub fn parse(document: &[u8]) -> Result<Vec<Item>, Refusal> {
    let mut items: Vec<Item> = Vec::new();
    let length = c_int::try_from(document.len()).expect("fuzz inputs are short");
    // The handlers get `items` as their user data, and run only inside XML_Parse.
    unsafe {
        let parser = XML_ParserCreateNS(c"UTF-8".as_ptr(), SEPARATOR as c_char);
        assert!(!parser.is_null());
        XML_SetHashSalt(parser, 1);
        XML_SetUserData(parser, (&raw mut items).cast());
        XML_SetElementHandler(parser, start, end);
        XML_SetCharacterDataHandler(parser, text);
        let ok = XML_Parse(parser, document.as_ptr().cast(), length, 1) == 1;
        let refusal = Refusal {
            code: XML_GetErrorCode(parser),
            at: usize::try_from(XML_GetCurrentByteIndex(parser)).unwrap_or(usize::MAX),
        };
        XML_ParserFree(parser);
        if ok { Ok(items) } else { Err(refusal) }
    }
}

extern "C" fn start(data: *mut c_void, name: *const c_char, attributes: *const *const c_char) {
    let items = unsafe { &mut *data.cast::<Vec<Item>>() };
    let mut set = BTreeMap::new();
    let mut at = attributes;
    unsafe {
        while !(*at).is_null() {
            let before = set.insert(expanded(*at), string(*at.add(1)));
            assert_eq!(before, None, "libexpat reports an attribute twice");
            at = at.add(2);
        }
    }
    let (namespace, name) = expanded(name);
    items.push(Item::Start {
        namespace,
        name,
        attributes: set,
    });
}

extern "C" fn end(data: *mut c_void, _: *const c_char) {
    unsafe { &mut *data.cast::<Vec<Item>>() }.push(Item::End);
}

extern "C" fn text(data: *mut c_void, bytes: *const c_char, length: c_int) {
    let items = unsafe { &mut *data.cast::<Vec<Item>>() };
    let length = usize::try_from(length).unwrap_or_default();
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
    let piece = std::str::from_utf8(bytes).expect("libexpat cuts text between characters");
    match items.last_mut() {
        Some(Item::Text(text)) => text.push_str(piece),
        _ => items.push(Item::Text(piece.into())),
    }
}

fn string(text: *const c_char) -> String {
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().expect("libexpat writes UTF-8").into()
}

fn expanded(name: *const c_char) -> (String, String) {
    let name = string(name);
    match name.split_once(char::from(SEPARATOR)) {
        Some((namespace, name)) => (namespace.into(), name.into()),
        None => (String::new(), name),
    }
}
