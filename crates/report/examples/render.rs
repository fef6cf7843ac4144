//! Draws the report of each folder named: `cargo run -p seedpress-report --example render -- reports/quick`.

fn main() -> Result<(), seedpress_report::ReportError> {
    for folder in std::env::args().skip(1) {
        let files = seedpress_report::render(std::path::Path::new(&folder))?.files;
        println!("{folder}: {} files", files.len());
    }
    Ok(())
}
