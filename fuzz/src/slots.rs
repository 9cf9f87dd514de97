//! What a process stored: the format, as `core/src/supervisor/snapshot.rs` describes it, written apart from the core's own code.

use sha2::{Digest, Sha256};

use crate::host::TOKEN;

const ACCOUNT: &[u8] = b"user@example.org";

fn check(before: &[u8], what: u8, bytes: &[u8]) -> Vec<u8> {
    let digest = Sha256::new()
        .chain_update(before)
        .chain_update([what])
        .chain_update(bytes)
        .finalize();
    digest.to_vec()
}

fn header(slot: u8) -> Vec<u8> {
    let mut bytes = b"epode snapshot\n\0\x01".to_vec();
    bytes.push(slot);
    bytes.extend((ACCOUNT.len() as u32).to_be_bytes());
    bytes.extend(ACCOUNT);
    bytes
}

/// A slot (1: `Session`, 2: `Token`, 3: `Pins`) with these records, all checks right.
pub fn written(slot: u8, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = header(slot);
    let mut last = check(&[], 0, &bytes)[..8].to_vec();
    bytes.extend(&last);
    for record in records {
        let length = (record.len() as u32).to_be_bytes();
        let mut whole = length.to_vec();
        whole.extend(&check(&last, 1, &length)[..4]);
        whole.extend(record);
        last = check(&last, 2, &whole)[..8].to_vec();
        bytes.extend(whole);
        bytes.extend(&last);
    }
    bytes
}

/// The records of what was really stored; a form that this does not know would show here.
pub fn records(slot: u8, stored: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    if stored.is_empty() {
        return records;
    }
    let start = header(slot).len() + 8;
    assert_eq!(stored.get(..start - 8), Some(&header(slot)[..]));
    let mut rest = &stored[start..];
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
        records.push(rest[8..8 + length].to_vec());
        rest = &rest[16 + length..];
    }
    assert_eq!(written(slot, &records), stored);
    records
}

/// Slot `Token` with a token for that mechanism.
pub fn token(mechanism: &str) -> Vec<u8> {
    let mut record = Vec::new();
    let expires = 4_000_000_000_000_u64.to_be_bytes();
    let entries: [(&str, &[u8]); 3] = [
        ("token", TOKEN.as_bytes()),
        ("mechanism", mechanism.as_bytes()),
        ("expires", &expires),
    ];
    for (name, value) in entries {
        for part in [name.as_bytes(), value] {
            record.extend((part.len() as u32).to_be_bytes());
            record.extend(part);
        }
    }
    written(2, &[record])
}
