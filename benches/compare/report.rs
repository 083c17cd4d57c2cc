//! The report: tables and charts of the last run of each part, written into `docs/performance.md`.

use std::fmt::Write;
use std::fs;

use crate::options::Options;
use crate::samples::{Run, last_run};
use crate::statistics::median;
use crate::{Fallible, PARTS, charts, tables};

/// The page, and the folder of its charts.
const PAGE: &str = "docs/performance.md";
const CHARTS: &str = "docs/performance";

/// Processor time of other programs above which the figures of a section are marked as useless, in percent of one core.
const NOISE: f64 = 20.0;

/// Replaces the text between `<!-- compare PART -->` and `<!-- end -->` for each part that has results.
pub(crate) fn write(options: &Options) -> Fallible<()> {
    let path = options.root.join(PAGE);
    let mut page = fs::read_to_string(&path)?;
    fs::create_dir_all(options.root.join(CHARTS))?;
    for part in PARTS {
        let Some(run) = last_run(options, part)? else {
            eprintln!("{part}: no results, so its section stays as it is");
            continue;
        };
        page = replace(&page, part, &section(options, part, &run)?)?;
    }
    fs::write(&path, page)?;
    eprintln!("wrote {PAGE}");
    Ok(())
}

fn replace(page: &str, part: &str, text: &str) -> Fallible<String> {
    let start = format!("<!-- compare {part} -->\n");
    let (before, rest) =
        page.split_once(&start).ok_or_else(|| format!("{PAGE} has no line {}", start.trim()))?;
    let (_, after) =
        rest.split_once("<!-- end -->").ok_or_else(|| format!("{PAGE}: {} has no end", start.trim()))?;
    Ok(format!("{before}{start}{text}<!-- end -->{after}"))
}

/// Renders one part, and writes its charts.
fn section(options: &Options, part: &str, run: &Run) -> Fallible<String> {
    let fact = |key: &str| {
        let found = run.facts.iter().find(|(name, _)| name == key);
        found.map_or("unknown", |(_, value)| value)
    };
    let mut text = format!("Measured on {}:\n\n", fact("date"));
    for key in ["command", "processor", "memory", "kernel", "doorward", "nginx", "wrk"] {
        let value = fact(key);
        let value = if key == "command" { format!("`{value}`") } else { value.to_owned() };
        let _ = writeln!(text, "- {key}: {value}");
    }
    let others: Vec<f64> =
        run.samples.0.iter().filter(|s| s.metric == "others_percent").map(|s| s.value).collect();
    if !others.is_empty() {
        let _ = writeln!(
            text,
            "- other programs: {:.0} % of a core (median of the measurements)",
            median(&others)
        );
    }
    for (key, value) in &run.facts {
        if key == "version" {
            let _ = writeln!(text, "- {value}");
        }
    }
    text.push('\n');
    if median(&others) > options.others.min(NOISE) {
        text +=
            "**Other programs used the machine. These figures show only that the measurement works.**\n\n";
    }
    for (name, title, svg) in charts::charts(part, &run.samples) {
        fs::write(options.root.join(CHARTS).join(format!("{name}.svg")), svg)?;
        let _ = writeln!(text, "![{title}](performance/{name}.svg)\n");
    }
    let _ = writeln!(text, "{}\n", tables::render(part, &run.samples).trim());
    for (key, value) in &run.facts {
        if key == "note" {
            let _ = writeln!(text, "{value}\n");
        }
    }
    Ok(text)
}
