//! The allocator counts what is asked for. One test alone: it watches the whole process.

use std::hint::black_box;

use seedpress_testing::allocator::{self, Counting, thread};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn requests_are_counted_by_process_and_thread() {
    let before = black_box(vec![0u8; 1 << 20]);
    allocator::reset();
    thread::reset();
    assert_eq!(thread::largest(), 0);
    drop(black_box(vec![1u8; 3000]));
    let mut grown: Vec<u8> = black_box(Vec::with_capacity(1000));
    // Old and new at a time: 1000 and 5000.
    grown.reserve_exact(5000);
    black_box(&grown);
    assert_eq!((thread::largest(), thread::most()), (5000, 6000));
    assert!(allocator::largest() >= 5000 && allocator::most() >= 6000);
    // What was held before counts as nothing, and giving it back makes no debt.
    drop(before);
    drop(grown);
    assert_eq!(thread::most(), 6000);
    let other = std::thread::spawn(|| drop(black_box(vec![1u8; 1 << 16])));
    assert!(other.join().is_ok());
    assert!(thread::largest() < 1 << 16 && allocator::largest() >= 1 << 16);
}
