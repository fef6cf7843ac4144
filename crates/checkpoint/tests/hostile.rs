//! What small hostile files cost: a counting allocator watches.

#![allow(clippy::unwrap_used)]

use seedpress_checkpoint::{ContainerView, Index};
use seedpress_testing::allocator::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A container of this version whose index is `index`, coded as small as it gets, or claiming to decode to `claimed` bytes.
fn container(version: u8, index: &[u8], claimed: Option<u32>) -> Vec<u8> {
    let stored = zstd::bulk::compress(index, 19).unwrap();
    let mut bytes = [b"SDPR".as_slice(), &[version, 1]].concat();
    bytes.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&claimed.unwrap_or(index.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&stored);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[test]
fn an_index_of_a_thousand_bytes_takes_little_memory() {
    let record = {
        let mut header = vec![1, 1, b'c', 0, 1, 0, 0, 0, 0, 0, 1, 0];
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        [&[0, 0, header.len() as u8], header.as_slice()].concat()
    };
    let many = |head: &[u8], entry: &[u8], len: usize| {
        let count = (len - 16) / entry.len();
        [head, &varint(count as u64), &entry.repeat(count)].concat()
    };
    let most = 512 << 10;
    let hostile = [
        // Aliases of three bytes, all of one name; records; metadata; tensors kept as they are; names and values as long as it goes.
        container(2, &many(&[1, 0, 0], &[0, 2, 0], most), None),
        container(2, &many(&[1, 0, 0], &record, most), None),
        container(1, &many(&[1], &[0, 0], most), None),
        container(2, &many(&[1, 0, 0], &[0, 1, 0, 0, 0], most), None),
        container(1, &[&[1, 1, 0], varint(most as u64 - 20).as_slice(), &vec![b' '; most - 20], &[0]].concat(), None),
        // Counts and lengths that nothing backs.
        container(1, &[1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], None),
        container(2, &[1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0, 0], None),
        container(1, &[1, 0, 0], Some(u32::MAX)),
        container(1, &vec![0; 8 << 20], None),
    ];
    for (number, bytes) in hostile.iter().enumerate() {
        assert!(bytes.len() < 1100, "{number}: {} bytes", bytes.len());
        allocator::reset();
        let _ = Index::parse(bytes);
        let _ = ContainerView::parse(bytes);
        let peak = allocator::most();
        assert!(peak < 48 << 20, "{number}: {peak} bytes");
    }
}
