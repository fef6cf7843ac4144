//! Symbols of up to eight bits, packed and unpacked eight at a time in one word.

/// Cells of `2^log` bytes, the lowest `bits` of each set.
#[inline(always)]
const fn cells(log: u32, bits: u32) -> u64 {
    let cell = 8 << log;
    let ones = if bits >= 64 { u64::MAX } else { (1 << bits) - 1 };
    let (mut mask, mut at) = (0, 0);
    while at < 64 {
        mask |= ones << at;
        at += cell;
    }
    mask
}

/// Eight symbols of `width` bits in bytes, moved together: pairs, pairs of pairs, halves.
#[inline(always)]
fn gather(word: u64, width: u32) -> u64 {
    let word = word & cells(1, 8) | (word >> 8 & cells(1, 8)) << width;
    let word = word & cells(2, 16) | (word >> 16 & cells(2, 16)) << (2 * width);
    word & cells(3, 32) | (word >> 32) << (4 * width)
}

/// Undoes [`gather`].
#[inline(always)]
fn spread(word: u64, width: u32) -> u64 {
    let word = word & cells(3, 4 * width) | (word >> (4 * width) & cells(3, 4 * width)) << 32;
    let word = word & cells(2, 2 * width) | (word >> (2 * width) & cells(2, 2 * width)) << 16;
    word & cells(1, width) | (word >> width & cells(1, width)) << 8
}

/// Fields of `width` bits, 1..=8, as bytes. Eight fields fill `width` whole bytes.
pub(crate) fn unpack_narrow(bytes: &[u8], width: u8, count: usize) -> Vec<u8> {
    fn run<const WIDTH: usize>(bytes: &[u8], count: usize) -> Vec<u8> {
        let mut symbols = vec![0; count];
        let whole = count / 8;
        for (eight, group) in symbols.chunks_exact_mut(8).zip(bytes.chunks_exact(WIDTH)) {
            // Lengths the compiler knows: a copy of any length would be a call.
            let mut window = [0u8; 8];
            window[..WIDTH].copy_from_slice(group);
            eight.copy_from_slice(&spread(u64::from_le_bytes(window), WIDTH as u32).to_le_bytes());
        }
        let (rest, last) = (&mut symbols[8 * whole..], &bytes[WIDTH * whole..]);
        let mut window = [0u8; 8];
        window[..last.len()].copy_from_slice(last);
        rest.copy_from_slice(&spread(u64::from_le_bytes(window), WIDTH as u32).to_le_bytes()[..rest.len()]);
        symbols
    }
    match width {
        1 => run::<1>(bytes, count),
        2 => run::<2>(bytes, count),
        3 => run::<3>(bytes, count),
        4 => run::<4>(bytes, count),
        5 => run::<5>(bytes, count),
        6 => run::<6>(bytes, count),
        7 => run::<7>(bytes, count),
        _ => bytes[..count].to_vec(),
    }
}

/// Packs symbols below `2^width`, width 1..=8.
pub(crate) fn pack_narrow(symbols: &[u8], width: u8) -> Vec<u8> {
    let mut bytes = vec![0; (symbols.len() * usize::from(width)).div_ceil(8)];
    pack_into(symbols, width, &mut bytes);
    bytes
}

/// Packs symbols into exactly the bytes they take.
pub(crate) fn pack_into(symbols: &[u8], width: u8, bytes: &mut [u8]) {
    fn run<const WIDTH: usize>(symbols: &[u8], bytes: &mut [u8]) {
        let whole = symbols.len() / 8;
        for (eight, group) in symbols.chunks_exact(8).zip(bytes.chunks_exact_mut(WIDTH)) {
            let mut window = [0u8; 8];
            window.copy_from_slice(eight);
            group.copy_from_slice(&gather(u64::from_le_bytes(window), WIDTH as u32).to_le_bytes()[..WIDTH]);
        }
        let (rest, last) = (&symbols[8 * whole..], &mut bytes[WIDTH * whole..]);
        let mut window = [0u8; 8];
        window[..rest.len()].copy_from_slice(rest);
        last.copy_from_slice(&gather(u64::from_le_bytes(window), WIDTH as u32).to_le_bytes()[..last.len()]);
    }
    match width {
        1 => run::<1>(symbols, bytes),
        2 => run::<2>(symbols, bytes),
        3 => run::<3>(symbols, bytes),
        4 => run::<4>(symbols, bytes),
        5 => run::<5>(symbols, bytes),
        6 => run::<6>(symbols, bytes),
        7 => run::<7>(symbols, bytes),
        _ => bytes.copy_from_slice(symbols),
    }
}
