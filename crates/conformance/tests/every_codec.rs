//! Runs every check over every codec and stage of the facade's registry, and over the settings that change a codec's bytes.

use libtest_mimic::{Arguments, Failed, Trial};
use seedpress_codec::{AnyCodec, Registry};
use seedpress_conformance::settings::MORE;
use seedpress_conformance::{Verdict, description, determinism, hostile, magnitudes, round_trip};
use seedpress_testing::allocator::{Counting, thread};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Hostile streams get a budget of 16 MiB; caches that are filled once per process and the streams themselves come on top.
const LARGEST_ALLOWED: usize = 96 << 20;

fn without_large_allocations(check: impl FnOnce() -> Verdict) -> Verdict {
    thread::reset();
    check()?;
    let largest = thread::largest();
    if largest > LARGEST_ALLOWED { Err(format!("an allocation of {largest} bytes")) } else { Ok(()) }
}

/// What decoding a record of a kilobyte may hold at a time.
const MOST_FOR_A_KILOBYTE: usize = 64 << 20;

/// Decodes every short record on one thread, whose allocations are all there are; once before for what decoders keep for the process.
fn short_records_take_little_memory(registry: &Registry, codec: &AnyCodec) -> Verdict {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| error.to_string())?;
    for (what, bytes) in hostile::short_records(codec)? {
        pool.install(|| {
            hostile::decodes_or_fails(registry, &what, &bytes)?;
            thread::reset();
            hostile::decodes_or_fails(registry, &what, &bytes)?;
            let most = thread::most();
            if most > MOST_FOR_A_KILOBYTE { Err(format!("{what}: {most} bytes held at a time")) } else { Ok(()) }
        })?;
    }
    Ok(())
}

type Check = fn(&Registry, &AnyCodec) -> Verdict;

/// What every codec must survive.
const CHECKS: [(&str, Check); 14] = [
    ("every_input", round_trip::every_input),
    ("non_finite_values", round_trip::non_finite_values),
    ("every_prefix", round_trip::every_prefix),
    ("an_outlier_spares_other_rows", magnitudes::an_outlier_spares_other_rows),
    ("loud_rows_spare_other_rows", magnitudes::loud_rows_spare_other_rows),
    ("a_loud_column_spares_the_others", magnitudes::a_loud_column_spares_the_others),
    ("tiny_rows_stay_tiny", magnitudes::tiny_rows_stay_tiny),
    ("stacked_matrices_are_one_tall_matrix", magnitudes::stacked_matrices_are_one_tall_matrix),
    ("any_thread_count", determinism::any_thread_count),
    ("any_float_mode", determinism::any_float_mode),
    ("name_parses_back", description::name_parses_back),
    ("record_bytes", hostile::record_bytes),
    ("short_records_take_little_memory", short_records_take_little_memory),
    ("below_the_checksums", hostile::below_the_checksums),
];

fn main() {
    let arguments = Arguments::from_args();
    // Expected panics of a broken decoder are reported as failures, not as noise.
    std::panic::set_hook(Box::new(|_| {}));
    let registry = seedpress::registry();
    let mut codecs: Vec<AnyCodec> = Vec::new();
    for name in registry.codecs().map(|entry| entry.id).chain(MORE.iter().copied()) {
        match registry.parse(name) {
            Ok(codec) => codecs.push(codec),
            Err(error) => panic!("{error}"),
        }
    }
    let mut trials = Vec::new();
    let mut trial = |name: String, check: Box<dyn FnOnce(&Registry) -> Verdict + Send>| {
        trials.push(Trial::test(name, move || check(&seedpress::registry()).map_err(Failed::from)));
    };
    for entry in registry.codecs() {
        let id = entry.id;
        trial(format!("{id}::options_are_described"), Box::new(move |r| description::options_are_described(r, id)));
    }
    for codec in codecs {
        let name = codec.name();
        for (check_name, check) in CHECKS {
            let codec = codec.clone();
            trial(format!("{name}::{check_name}"), Box::new(move |r| without_large_allocations(|| check(r, &codec))));
        }
        for stage in registry.stages() {
            let id = stage.id();
            let codec = codec.clone();
            trial(
                format!("{name}+{id}::stage"),
                Box::new(move |r| {
                    let stage = r.stage(id).map_err(|error| error.to_string())?;
                    without_large_allocations(|| hostile::stage_below_the_checksums(&codec, stage.as_ref()))?;
                    let staged = codec.clone().then(stage);
                    round_trip::every_input(r, &staged)?;
                    short_records_take_little_memory(r, &staged)?;
                    hostile::record_bytes(r, &staged)
                }),
            );
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
