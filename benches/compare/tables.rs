//! The Markdown table of each part.

use std::fmt::Write;

use crate::samples::Samples;
use crate::statistics::{interval, maximum, median, minimum};
use crate::{contestants, first, flood, floor, pull, user_counts};

/// Renders the tables of a part.
pub(crate) fn render(part: &str, samples: &Samples) -> String {
    match part {
        "floor" => floor_tables(samples),
        "contestants" => rates(samples, contestants::CASE, Some("return 204, tcp")),
        "first" => first_table(samples),
        "flood" => flood_table(samples),
        "pull" => pull_table(samples),
        _ => rates(samples, user_counts::USERS, None) + &rates(samples, user_counts::GRANTS, None),
    }
}

fn floor_tables(samples: &Samples) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for case in samples.cases() {
        let mut words = case.split(' ');
        let (Some(location), Some(transport), Some(connections)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let title = format!("Location `{location}`, {transport}");
        if title != last {
            let _ = write!(
                text,
                "\n{title}:\n\n| connections | contestant | ratio to `{}` (95 %) | requests a second (min–max) | p50, ms | \
                 p99, ms (min–max) | p99 ratio | CPU, µs: nginx + service | CPU ratio (95 %) | switches: nginx + service |\n\
                 |---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
                floor::FLOOR
            );
            last = title;
        }
        for contestant in samples.contestants(case) {
            let of = |metric: &str| samples.values(case, contestant, metric);
            let ratio = |metric: &str| samples.ratios(case, contestant, floor::FLOOR, metric);
            let milliseconds =
                |metric: &str| of(metric).iter().map(|value| value / 1000.0).collect::<Vec<_>>();
            let _ = writeln!(
                text,
                "| {connections} | {contestant} | {} | {} | {:.2} | {} | {:.2} | {:.1} = {:.1} + {:.1} | {} | {:.2} + {:.2} |",
                with_interval(&ratio("rate")),
                with_range(&of("rate"), 0),
                median(&milliseconds("p50_us")),
                with_range(&milliseconds("p99_us"), 2),
                median(&ratio("p99_us")),
                median(&of("cpu_us")),
                median(&of("cpu_front_us")),
                median(&of("cpu_service_us")),
                with_interval(&ratio("cpu_us")),
                median(&of("switches_front")),
                median(&of("switches_service")),
            );
        }
    }
    text + &syscalls(samples)
}

/// Renders the system calls, if they were counted.
fn syscalls(samples: &Samples) -> String {
    let mut text = String::new();
    for case in samples.cases() {
        for contestant in samples.contestants(case) {
            let of = |metric: &str| samples.values(case, contestant, metric);
            let front = of("syscalls_front");
            if front.is_empty() {
                continue;
            }
            if text.is_empty() {
                text += "\nSystem calls of a request:\n\n| location | contestant | nginx | service |\n|---|---|---:|---:|\n";
            }
            let service = median(&of("syscalls_service"));
            let _ = writeln!(text, "| {case} | {contestant} | {:.2} | {service:.2} |", median(&front));
        }
    }
    text
}

/// Renders requests a second and processor time. The ratio is to `base`, or to the first contestant.
fn rates(samples: &Samples, case: &str, base: Option<&str>) -> String {
    let contestants = samples.contestants(case);
    let Some(first) = contestants.first() else { return String::new() };
    let base = base.filter(|base| contestants.contains(base)).unwrap_or(first);
    let mut text = format!(
        "\n| contestant | requests a second (min–max) | ratio to `{base}` (95 %) | p50, ms | p99, ms (min–max) | CPU of a request, µs |\n\
         |---|---:|---:|---:|---:|---:|\n"
    );
    for contestant in contestants {
        let of = |metric: &str| samples.values(case, contestant, metric);
        let milliseconds = |metric: &str| of(metric).iter().map(|value| value / 1000.0).collect::<Vec<_>>();
        let _ = writeln!(
            text,
            "| {contestant} | {} | {} | {:.2} | {} | {} |",
            with_range(&of("rate"), 0),
            with_interval(&samples.ratios(case, contestant, base, "rate")),
            median(&milliseconds("p50_us")),
            with_range(&milliseconds("p99_us"), 2),
            number(median(&of("cpu_us")), 0),
        );
    }
    text
}

fn first_table(samples: &Samples) -> String {
    let mut text =
        "\n| contestant | seconds until all are in (min–max) | refused requests | users who never got in |\n\
                    |---|---:|---:|---:|\n"
            .to_owned();
    for contestant in samples.contestants(first::CASE) {
        let of = |metric: &str| samples.values(first::CASE, contestant, metric);
        let _ = writeln!(
            text,
            "| {contestant} | {} | {} | {} |",
            with_range(&of("seconds"), 1),
            with_range(&of("refused"), 0),
            with_range(&of("never_in"), 0)
        );
    }
    text
}

fn flood_table(samples: &Samples) -> String {
    let mut text = "\n| contestant | p50, ms (min–max) | p99, ms (min–max) | longest, ms | failures of the known user | \
                    its requests | answered guesses |\n|---|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for contestant in samples.contestants(flood::CASE) {
        let of = |metric: &str| samples.values(flood::CASE, contestant, metric);
        let _ = writeln!(
            text,
            "| {contestant} | {} | {} | {} | {} | {} | {} |",
            with_range(&of("p50_ms"), 1),
            with_range(&of("p99_ms"), 1),
            number(maximum(&of("max_ms")), 1),
            with_range(&of("failures"), 0),
            with_range(&of("requests"), 0),
            with_range(&of("guesses"), 0),
        );
    }
    text
}

fn pull_table(samples: &Samples) -> String {
    let mut text = format!(
        "\n| client | set-up | seconds (min–max) | ratio to `{}` (95 %) |\n|---|---|---:|---:|\n",
        pull::OPEN
    );
    for case in samples.cases() {
        for contestant in samples.contestants(case) {
            let seconds = with_range(&samples.values(case, contestant, "seconds"), 3);
            let ratio = with_interval(&samples.ratios(case, contestant, pull::OPEN, "seconds"));
            let _ = writeln!(text, "| {case} | {contestant} | {seconds} | {ratio} |");
        }
    }
    text
}

/// Returns the median with the minimum and the maximum.
fn with_range(values: &[f64], digits: usize) -> String {
    let (low, high) = (minimum(values), maximum(values));
    format!("{} ({}–{})", number(median(values), digits), number(low, digits), number(high, digits))
}

/// Returns the median with its 95 % interval.
fn with_interval(values: &[f64]) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let (low, high) = interval(values);
    let digits = if median(values) < 0.1 { 4 } else { 3 };
    format!("{:.digits$} ({low:.digits$}–{high:.digits$})", median(values))
}

/// Returns a number with commas between thousands.
fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) =
        text.split_once('.').map_or((&*text, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &rest
}
