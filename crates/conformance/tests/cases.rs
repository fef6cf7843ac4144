//! Files that broke a decoder once: each decodes or is refused, without a panic.

use std::path::Path;

use seedpress_codec::{DecodeErrorKind, Limits, RecordView};

fn case(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name);
    std::fs::read(path).expect("a committed case")
}

#[test]
fn a_huge_count_is_a_typed_error() {
    let error = seedpress::registry().decode_bytes(&case("panic_record142_raw.bin")).expect_err("damaged");
    assert!(matches!(error.kind, DecodeErrorKind::Truncated { .. } | DecodeErrorKind::Corrupt(_)), "{error}");
}

/// Slow symbols count in the budget: with a quarter of the default one, the stream is refused before the work.
#[test]
fn slow_work_counts_as_memory() {
    let bytes = case("slow_nf4_context.2.bin");
    let registry = seedpress::registry();
    let record = RecordView::parse(&bytes).expect("its checksums are right");
    let mut limits = Limits::new(12 << 20);
    let error = registry.decode(&record, &mut limits).expect_err("some four million symbols");
    assert!(matches!(error.kind, DecodeErrorKind::Limit { .. }), "{error}");
}
