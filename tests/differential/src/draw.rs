//! Accounts and their secrets, out of a seed: what people have, and what a mechanism could stumble over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use epode::{BareJid, ChannelBindingType, ChannelBindings, LinkInfo};
use fastrand::Rng;

/// Characters that mean something in SCRAM, in DIGEST-MD5, in XML, or to people who type.
const PUNCTUATION: &str = "!#$%()*+,-.;=?[]^_`{|}~";
/// Those of passwords as well: a localpart must not have them (RFC 7622 §3.3.1).
const QUOTES: &str = " \"&'/:<>@\\";
/// Within ISO-8859-1, where DIGEST-MD5 hashes otherwise (RFC 2831 §2.1.2.1).
const LATIN: &str = "àéîõüßñçø";
const BEYOND: &str = "жщ日本語αβđłş";
/// What SASLprep changes (RFC 4013 §2.1, §2.2): compatibility characters, a space of another kind, a soft hyphen, a letter in two parts.
const PREPARED: &[&str] = &[
    "\u{aa}", "\u{2168}", "\u{fb01}", "\u{a0}", "\u{ad}", "\u{2003}", "e\u{301}", "\u{212b}", "\u{2460}", "\u{ff21}",
];

/// Written from right to left, where a text must have nothing else at its ends (RFC 3454 §6).
const RIGHT_TO_LEFT: &str = "אבגדהשתעربيסלמ";

/// How long a derivation is, most of the time, and how long it is sometimes.
const ITERATIONS: (u32, u32) = (4_096, 20_000);

fn pick(rng: &mut Rng, of: &str) -> char {
    let all: Vec<char> = of.chars().collect();
    all[rng.usize(..all.len())]
}

/// The seed of one login's client.
pub fn seed(rng: &mut Rng) -> [u8; 32] {
    std::array::from_fn(|_| rng.u8(..))
}

/// Bytes of a length that is drawn too.
pub fn bytes(rng: &mut Rng, lengths: std::ops::RangeInclusive<usize>) -> Vec<u8> {
    let length = rng.usize(lengths);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

/// An account of `localhost`.
pub fn account(rng: &mut Rng) -> BareJid {
    loop {
        let length = match rng.u8(..10) {
            0 => 1,
            1 => rng.usize(60..200),
            _ => rng.usize(2..20),
        };
        let mut name = String::new();
        for _ in 0..length {
            name.push(match rng.u8(..10) {
                0 | 1 => pick(rng, PUNCTUATION),
                2 => pick(rng, LATIN),
                3 => pick(rng, BEYOND),
                _ => rng.alphanumeric(),
            });
        }
        // Not all of it is a name: there is a rule on what stands first or last.
        if let Ok(jid) = BareJid::parse(&format!("{name}@localhost"))
            && jid.local().is_some_and(|local| local.len() <= 240)
        {
            return jid;
        }
    }
}

/// A password as somebody would type it.
pub fn password(rng: &mut Rng) -> String {
    let length = match rng.u8(..10) {
        0 => 1,
        1 => rng.usize(60..180),
        _ => rng.usize(2..24),
    };
    let mut password = String::new();
    if rng.u8(..20) == 0 {
        return (0..length).map(|_| pick(rng, RIGHT_TO_LEFT)).collect();
    }
    for _ in 0..length {
        match rng.u8(..12) {
            0 | 1 => password.push(pick(rng, PUNCTUATION)),
            2 | 3 => password.push(pick(rng, QUOTES)),
            4 => password.push(pick(rng, LATIN)),
            5 => password.push(pick(rng, BEYOND)),
            6 => password.push_str(PREPARED[rng.usize(..PREPARED.len())]),
            _ => password.push(rng.alphanumeric()),
        }
    }
    password
}

/// Another password than this one, which SASLprep lets pass if it does that one.
pub fn another(password: &str) -> String {
    password.repeat(2)
}

/// Any text at all: of one or two blocks of Unicode, so that some of it is allowed.
pub fn text(rng: &mut Rng) -> String {
    // Latin, letters with marks, Greek and Cyrillic, Hebrew and Arabic, spaces and controls of all kinds, symbols, Korean and Japanese,
    // private use, presentation forms, what is no character, music, mathematics, tags.
    const BLOCKS: [(u32, u32); 18] = [
        (0x00, 0x7f),
        (0x20, 0x7e),
        (0x80, 0x24f),
        (0x300, 0x3ff),
        (0x400, 0x4ff),
        (0x5d0, 0x6d5),
        (0x1e00, 0x1fff),
        (0x2000, 0x206f),
        (0x20a0, 0x2190),
        (0x2460, 0x24ff),
        (0x3000, 0x33ff),
        (0xac00, 0xd7a3),
        (0xe000, 0xe010),
        (0xf900, 0xfdff),
        (0xfe00, 0xffff),
        (0x1d100, 0x1d1ff),
        (0x1d400, 0x1d7ff),
        (0xe0000, 0xe007f),
    ];
    let blocks = [BLOCKS[rng.usize(..BLOCKS.len())], BLOCKS[rng.usize(..BLOCKS.len())]];
    let length = rng.usize(1..8);
    let drawn = std::iter::repeat_with(|| {
        let (first, last) = blocks[usize::from(rng.u8(..4) == 0)];
        char::from_u32(rng.u32(first..=last))
    });
    drawn.flatten().take(length).collect()
}

/// An access token, or one of XEP-0484: `b64token` (RFC 6750 §2.1).
pub fn token(rng: &mut Rng) -> String {
    let length = if rng.u8(..10) == 0 { 400..2_000 } else { 1..100 };
    let length = rng.usize(length);
    let mut token: String = std::iter::repeat_with(|| match rng.u8(..8) {
        0 => pick(rng, "-._~+/"),
        _ => rng.alphanumeric(),
    })
    .take(length)
    .collect();
    token.push_str(&"=".repeat(rng.usize(..3)));
    token
}

/// An iteration count: seldom a large one.
pub fn iterations(rng: &mut Rng) -> u32 {
    let (least, most) = ITERATIONS;
    match rng.u8(..20) {
        0 => rng.u32(least..=most),
        1..4 => rng.u32(least..least + 100),
        _ => least,
    }
}

/// Channel binding data, of the usual lengths and of others.
pub fn binding(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..4) {
        0 => bytes(rng, 1..=200),
        1 => bytes(rng, 12..=12),
        2 => bytes(rng, 64..=64),
        _ => bytes(rng, 32..=32),
    }
}

/// A verified link, bound or not.
pub fn link(bound: Option<(ChannelBindingType, &[u8])>) -> LinkInfo {
    let mut bindings = ChannelBindings::default();
    if let Some((of, data)) = bound {
        let place = match of {
            ChannelBindingType::TlsUnique => &mut bindings.tls_unique,
            ChannelBindingType::TlsServerEndPoint => &mut bindings.tls_server_end_point,
            _ => &mut bindings.tls_exporter,
        };
        *place = Some(data.to_vec());
    }
    LinkInfo {
        tls_version: Some(String::from("1.3")),
        channel_bindings: bindings,
        ..LinkInfo::verified("localhost")
    }
}

/// Base64, as some servers want their settings.
pub fn base64(bytes: &[u8]) -> Vec<u8> {
    STANDARD.encode(bytes).into_bytes()
}

/// One bit of it is another.
pub fn flipped(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = rng.usize(..bytes.len());
    bytes[at] ^= 1 << rng.u8(..8);
    bytes
}
