//! `page-test`: a report's page in a browser.

use std::path::Path;
use std::process::Command;

/// Programs that are the browser, by name.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Filters, sorts, hovers, follows links and switches to dark on a screen and a phone. Without Chromium or node nothing is tested, and
/// a line says so.
pub(crate) fn test(root: &Path, folder: Option<&str>) -> Result<u8, String> {
    let works =
        |program: &&&str| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    let Some(browser) = BROWSERS.iter().find(works) else {
        println!("page-test: skipped, none of {} is installed", BROWSERS.join(", "));
        return Ok(0);
    };
    if !works(&&"node") {
        println!("page-test: skipped, node is not installed");
        return Ok(0);
    }
    let page = folder.map_or_else(|| root.join("reports/full"), Into::into).join("index.html");
    let status = Command::new("node").arg(root.join("xtask/page/test.mjs")).arg(browser).arg(page).status();
    status.map(super::code).map_err(|error| format!("node: {error}"))
}
