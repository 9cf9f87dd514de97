//! What parsing costs: `xml_cost SHAPE BYTES` reads one element of that shape and size without limits and prints the heap that it takes.
//!
//! `tests/core/linear` runs it under callgrind at growing sizes, for the instructions spent in `measured`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use epode::xml::{Framing, Reader, XmlEvent, XmlLimits};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [shape, bytes] = arguments.as_slice() else {
        return usage();
    };
    let Some(input) = bytes.parse().ok().and_then(|bytes| input(shape, bytes)) else {
        return usage();
    };
    let (live, calls) = (LIVE.load(Ordering::Relaxed), CALLS.load(Ordering::Relaxed));
    PEAK.store(live, Ordering::Relaxed);
    let Some((reader, events)) = measured(&input) else {
        eprintln!("xml_cost: the input was refused");
        return ExitCode::FAILURE;
    };
    println!(
        "bytes={} elements={} live={} peak={} allocations={}",
        input.len(),
        events.len() - 1,
        LIVE.load(Ordering::Relaxed) - live,
        PEAK.load(Ordering::Relaxed) - live,
        CALLS.load(Ordering::Relaxed) - calls,
    );
    drop(black_box((reader, events)));
    ExitCode::SUCCESS
}

/// The only part that is counted.
#[inline(never)]
fn measured(input: &[u8]) -> Option<(Reader, Vec<XmlEvent>)> {
    let mut limits = XmlLimits::default();
    limits.element_bytes = usize::MAX;
    limits.depth = usize::MAX;
    limits.attributes = usize::MAX;
    limits.nodes = usize::MAX;
    let mut reader = Reader::new(Framing::Stream, limits);
    let mut events = Vec::new();
    reader.feed(input, &mut events).ok()?;
    Some((reader, events))
}

/// An open stream and then the shape, filled up to about that many bytes.
fn input(shape: &str, bytes: usize) -> Option<Vec<u8>> {
    let many = |unit: &str| unit.repeat(bytes / unit.len());
    let numbered = |unit: fn(usize) -> String| (0..bytes / unit(0).len()).map(unit).collect::<String>();
    let element = match shape {
        "nested" => {
            let depth = bytes / "<a></a>".len();
            format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth))
        }
        "prefixes" => format!("<a>{}</a>", many("<p:a xmlns:p='u'><p:b p:c=''/></p:a>")),
        // The factor scatters the names, which sorting must not mind.
        "attributes" => format!(
            "<a{}/>",
            numbered(|i| format!(" a{:08x}='1'", (i as u32).wrapping_mul(2_654_435_761)))
        ),
        // As many as may be in scope, again and again.
        "declarations" => {
            let declarations: String = (0..200).map(|i| format!(" xmlns:a{i:03}='u{i:03}'")).collect();
            format!("<a>{}</a>", many(&format!("<a{declarations}/>")))
        }
        "text" => format!("<a>{}</a>", many("All work and no play. ")),
        "references" => format!("<a>{}</a>", many("&amp;")),
        "lines" => format!("<a>{}</a>", many("x\r\n")),
        "children" => format!("<a>{}</a>", many("<b c='d'/>x")),
        "blank" => many(" \n"),
        "message" => many(MESSAGE),
        _ => return None,
    };
    Some(
        format!("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{element}")
            .into_bytes(),
    )
}

/// About 500 bytes of what chat consists of.
const MESSAGE: &str = "<message from='juliet@capulet.example/balcony' to='romeo@montague.example/orchard' type='chat' \
    id='c8a5a2b0-3a9f-4f0e-9d0c-6a1f' xml:lang='en'><body>Wherefore art thou, Romeo? Deny thy father &amp; refuse thy name.</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
    <origin-id xmlns='urn:xmpp:sid:0' id='c8a5a2b0-3a9f-4f0e-9d0c-6a1f'/>\
    <stanza-id xmlns='urn:xmpp:sid:0' id='2026-11-22-0001' by='romeo@montague.example'/></message>";

fn usage() -> ExitCode {
    eprintln!(
        "usage: xml_cost nested|prefixes|attributes|declarations|text|references|lines|children|blank|message BYTES"
    );
    ExitCode::FAILURE
}

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call is handed on to the system's allocator unchanged; counting touches nothing but atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `System` by way of `alloc`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}
