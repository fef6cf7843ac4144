//! A checkpoint larger than memory through the command: peak memory, speed against the codec in memory, and what becomes of killed runs.
//!
//! ```console
//! $ cargo build --release -p seedpress-cli && cargo run --release -p seedpress-cli --example large -- folder 10GB --max-memory 512MiB
//! ```
//!
//! What stands behind the size goes to the command that compresses.
//! Writes shards of bf16 noise into the folder (nothing else should be there; it is as large again as what was asked for), compresses,
//! decompresses and verifies them, then compresses once more with a kill at twenty random moments, each run going on where the one before
//! stopped. Fails where the bytes differ or anything but the results is left. Memory is the peak that Linux reports of the process.

use std::error::Error;
use std::fs::{File, remove_file};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use seedpress::codec::{DType, EncodeContext, Tensor};
use seedpress_testing::Noise;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Of each matrix: 32 MiB of bf16.
const SIDE: usize = 4096;
/// Matrices of a shard: 1 GiB.
const MATRICES: u64 = 32;
const KILLS: u32 = 20;
const CODEC: &str = "rtn";
/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(20);

/// Near zero and bell-shaped, of deviation 0.02, another matrix for each number.
fn matrix(number: u64) -> Vec<f32> {
    // The variance of three centred uniform numbers is a quarter.
    let mut noise = Noise::new(number);
    (0..SIDE * SIDE).map(|_| 0.04 * noise.bell(3)).collect()
}

/// Writes shards and their index of `bytes` together; returns the index.
fn generate(folder: &Path, bytes: u64) -> Fallible<PathBuf> {
    let size = (SIDE * SIDE * 2) as u64;
    let matrices = bytes.div_ceil(size).max(1);
    let shards = matrices.div_ceil(MATRICES);
    let mut weights = serde_json::Map::new();
    for shard in 0..shards {
        let name = format!("model-{:05}-of-{shards:05}.safetensors", shard + 1);
        let range = shard * MATRICES..matrices.min((shard + 1) * MATRICES);
        let mut header = serde_json::Map::new();
        for (place, number) in (0u64..).zip(range.clone()) {
            let tensor = format!("model.layers.{number}.mlp.up_proj.weight");
            let offsets = [place * size, (place + 1) * size];
            header.insert(
                tensor.clone(),
                serde_json::json!({ "dtype": "BF16", "shape": [SIDE, SIDE], "data_offsets": offsets }),
            );
            weights.insert(tensor, name.clone().into());
        }
        let header = serde_json::to_vec(&header)?;
        let mut file = BufWriter::new(File::create(folder.join(&name))?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for number in range {
            let bytes: Vec<u8> =
                matrix(number).iter().flat_map(|value| ((value.to_bits() >> 16) as u16).to_le_bytes()).collect();
            file.write_all(&bytes)?;
        }
        file.into_inner()?.sync_all()?;
    }
    let index = folder.join("model.safetensors.index.json");
    std::fs::write(&index, serde_json::to_vec(&serde_json::json!({ "weight_map": weights }))?)?;
    Ok(index)
}

/// The command, which lies beside the folder of examples.
fn seedpress(arguments: &[&str]) -> Fallible<Child> {
    let here = std::env::current_exe()?;
    let command = here.parent().and_then(Path::parent).map(|folder| folder.join("seedpress")).ok_or("no folder")?;
    let child = Command::new(&command).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Ok(child.map_err(|error| format!("{}: {error}: build it first", command.display()))?)
}

/// Peak memory of a process in bytes, as far as it got.
fn peak(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// Runs the command to its end; returns its time and peak memory.
fn whole(arguments: &[&str]) -> Fallible<(Duration, u64)> {
    let (start, mut child, mut most) = (Instant::now(), seedpress(arguments)?, 0);
    loop {
        most = most.max(peak(&child));
        if let Some(status) = child.try_wait()? {
            return if status.success() {
                Ok((start.elapsed(), most))
            } else {
                Err(format!("{arguments:?}: {status}").into())
            };
        }
        std::thread::sleep(LOOK);
    }
}

/// Runs the command and kills it after `time`; whether it was over before.
fn killed(arguments: &[&str], time: Duration) -> Fallible<bool> {
    let mut child = seedpress(arguments)?;
    std::thread::sleep(time);
    let over = child.try_wait()?.is_some();
    child.kill()?;
    child.wait()?;
    Ok(over)
}

fn same(a: &Path, b: &Path) -> Fallible<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = a.read(&mut left)?;
        b.read_exact(&mut right[..count])?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

/// Bytes of bf16 a second that the codec encodes and decodes of a matrix in memory, with all processors.
fn in_memory() -> Fallible<(f64, f64)> {
    let registry = seedpress::registry();
    let codec = registry.parse(CODEC)?;
    let mut values = matrix(0);
    DType::BF16.round_all(&mut values);
    let tensor = Tensor::new(vec![SIDE, SIDE], values, DType::BF16)?;
    let bytes = (SIDE * SIDE * 2) as f64;
    let (mut encode, mut decode) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..5 {
        let start = Instant::now();
        let record = codec.encode(&tensor.view("w"), &EncodeContext::default())?.to_bytes();
        encode = encode.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        registry.decode_trusted(&record)?;
        decode = decode.min(start.elapsed().as_secs_f64());
    }
    Ok((bytes / encode, bytes / decode))
}

fn listing(folder: &Path) -> Fallible<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// What is run, and on what.
struct Trial<'a> {
    folder: &'a Path,
    /// The checkpoint's index.
    index: String,
    bytes: u64,
    /// Further options of compressing.
    options: &'a [String],
}

impl Trial<'_> {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn tell(&self, what: &str, (time, memory): (Duration, u64)) {
        let rate = self.bytes as f64 / time.as_secs_f64() / 1e6;
        println!("{what}: {:.1} s, {rate:.0} MB/s, peak {:.0} MB", time.as_secs_f64(), memory as f64 / 1e6);
    }

    /// The command up to its output.
    fn compress(&self) -> Vec<&str> {
        let mut line = vec!["compress", &self.index, "--codec", CODEC];
        line.extend(self.options.iter().map(String::as_str));
        line.push("-o");
        line
    }

    /// Every command once, to its end; returns the time of compressing.
    fn undisturbed(&self) -> Fallible<Duration> {
        let (first, second, back) = (self.path("a.sdp"), self.path("b.sdp"), self.path("back.safetensors"));
        let compress = self.compress();
        let once = whole(&[&compress[..], &[&first]].concat())?;
        self.tell("compress", once);
        let unverified = whole(&[&compress[..], &[&second, "--no-verify"]].concat())?;
        self.tell("compress without decoding again", unverified);
        remove_file(&second)?;
        self.tell("verify", whole(&["verify", &first])?);
        self.tell("decompress", whole(&["decompress", &first, "-o", &back])?);
        remove_file(&back)?;
        Ok(once.0)
    }

    /// Compresses with kills at random moments, about as many as fit into `time`, and compares with what came of it undisturbed.
    fn with_kills(&self, time: Duration) -> Fallible<()> {
        let (first, second) = (self.path("a.sdp"), self.path("b.sdp"));
        let line = [&self.compress()[..], &[&second]].concat();
        let before = listing(self.folder)?;
        let mut noise = Noise::new(7);
        for kills in 0..KILLS {
            // Each run goes on where the last one stopped: an equal share of the whole, give or take all of it.
            let share = time.as_secs_f64() / f64::from(KILLS);
            if killed(&line, Duration::from_secs_f64(2.0 * share * f64::from(noise.unit())))? {
                println!("over after {kills} kills: begun anew");
                remove_file(&second)?;
            }
        }
        if !Path::new(&second).exists() {
            self.tell("the rest, after twenty kills", whole(&line)?);
        }
        let after: Vec<String> = listing(self.folder)?.into_iter().filter(|name| name != "b.sdp").collect();
        match (same(Path::new(&first), Path::new(&second))?, after == before) {
            (true, true) => println!("the same bytes, and nothing left behind"),
            (bytes, files) => return Err(format!("same bytes {bytes}, nothing left behind {files}: {after:?}").into()),
        }
        Ok(())
    }
}

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, size, options @ ..] = &arguments[..] else {
        return Err("give a folder and a size, as 10GB".into());
    };
    let bytes: u64 = size.trim_end_matches("GB").parse::<u64>()? * 1_000_000_000;
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder)?;
    let index = generate(folder, bytes)?.display().to_string();
    let (encode, decode) = in_memory()?;
    println!("in memory: {:.0} MB/s to encode, {:.0} MB/s to decode", encode / 1e6, decode / 1e6);
    let trial = Trial { folder, index, bytes, options };
    let time = trial.undisturbed()?;
    trial.with_kills(time)
}
