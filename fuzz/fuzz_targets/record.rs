#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(target) = seedpress_fuzzing::target("record") {
        (target.run)(bytes);
    }
});
