//! Trains a model of the zoo: `cargo run --release -p seedpress-training --example train -- <name> [epochs]`.

use seedpress_training::{TrainOptions, train};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("which model?")?;
    let epochs = arguments.next().map(|count| count.parse()).transpose()?;
    let options = TrainOptions { epochs, ..Default::default() };
    let report = train(&name, &options, &mut |line| println!("{line}"))?;
    println!("{} in {:.0} s: {:?}", report.path.display(), report.seconds, report.metrics);
    Ok(())
}
