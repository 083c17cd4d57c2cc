//! Bar charts as SVG. They have no background, and their colours are readable on a light and on a dark page.

use std::fmt::Write;

use crate::samples::Samples;
use crate::statistics::{maximum, median, minimum};
use crate::{contestants, first, flood, floor, pull, user_counts};

const WIDTH: f64 = 860.0;
const LABEL_WIDTH: f64 = 330.0;
const VALUE_WIDTH: f64 = 90.0;
const ROW: f64 = 24.0;
const TOP: f64 = 44.0;

const TEXT: &str = "#6e7681";
const BAR: &str = "#7a8ba3";
const OWN_BAR: &str = "#2f81f7";
const WHISKER: &str = "#d97706";

/// A bar with the median, and a whisker from the minimum to the maximum of all rounds.
struct Bar {
    label: String,
    values: Vec<f64>,
}

impl Bar {
    fn new(label: impl Into<String>, values: Vec<f64>) -> Option<Self> {
        (!values.is_empty()).then(|| Self { label: label.into(), values })
    }
}

/// Returns the charts of a part: the name of the file, what it shows, and the SVG.
pub(crate) fn charts(part: &str, samples: &Samples) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut chart = |name: &str, title: &str, bars: Vec<Bar>, is_logarithmic: bool| {
        if !bars.is_empty() {
            found.push((name.to_owned(), title.to_owned(), svg(title, &bars, is_logarithmic)));
        }
    };
    let all = |case: &str, metric: &str| -> Vec<Bar> {
        let contestants = samples.contestants(case).into_iter();
        contestants
            .filter_map(|contestant| Bar::new(contestant, samples.values(case, contestant, metric)))
            .collect()
    };
    match part {
        "floor" => {
            for location in ["bare", "generated", "registry"] {
                let cases = samples.cases().into_iter().filter(|case| {
                    let mut words = case.split(' ');
                    words.next() == Some(location) && words.nth(1).is_some()
                });
                let bars = cases.flat_map(|case| {
                    [floor::CONTROL, floor::HEADERS, floor::DOORWARD].into_iter().filter_map(
                        move |contestant| {
                            let connections = case.get(location.len() + 1..).unwrap_or_default();
                            let ratios = samples.ratios(case, contestant, floor::FLOOR, "rate");
                            Bar::new(format!("{connections} connections: {contestant}"), ratios)
                        },
                    )
                });
                let title = format!("Requests a second, relative to {}, location {location}", floor::FLOOR);
                chart(&format!("floor-{location}"), &title, bars.collect(), false);
            }
        }
        "contestants" => {
            chart("contestants", "Requests a second of a cached user", all(contestants::CASE, "rate"), true);
        }
        "first" => {
            chart("first", "Seconds until all users are logged in", all(first::CASE, "seconds"), false)
        }
        "flood" => {
            chart("flood", "p99 of the known user during a flood, ms", all(flood::CASE, "p99_ms"), true)
        }
        "pull" => {
            let bars = samples.cases().into_iter().flat_map(|case| {
                samples
                    .contestants(case)
                    .into_iter()
                    .filter(|contestant| *contestant != pull::OPEN)
                    .filter_map(move |contestant| {
                        let ratios = samples.ratios(case, contestant, pull::OPEN, "seconds");
                        Bar::new(format!("{case}: {contestant}"), ratios)
                    })
            });
            chart("pull", "Time of a pull, relative to no authentication", bars.collect(), false);
        }
        _ => {
            chart("users", "Requests a second with many users", all(user_counts::USERS, "rate"), true);
            chart("grants", "Requests a second with many grants", all(user_counts::GRANTS, "rate"), false);
        }
    }
    found
}

fn svg(title: &str, bars: &[Bar], is_logarithmic: bool) -> String {
    let highest = bars.iter().map(|bar| maximum(&bar.values)).fold(f64::MIN_POSITIVE, f64::max);
    let positive = bars.iter().map(|bar| minimum(&bar.values)).filter(|value| *value > 0.0);
    // A logarithmic bar starts at the power of ten below the least value.
    let start = 10_f64.powf(positive.fold(highest, f64::min).log10().floor());
    let room = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
    let position = |value: f64| {
        let share = if is_logarithmic {
            (value.max(start) / start).ln() / (highest / start).ln().max(f64::MIN_POSITIVE)
        } else {
            value / highest
        };
        LABEL_WIDTH + room * share.clamp(0.0, 1.0)
    };
    let height = TOP + ROW * bars.len() as f64 + 10.0;
    let scale = if is_logarithmic { ", logarithmic scale" } else { "" };
    let title = escape(title);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\" fill=\"{TEXT}\" role=\"img\">\n<title>{title}</title>\n\
         <text x=\"8\" y=\"20\" font-size=\"15\" font-weight=\"bold\">{title}</text>\n\
         <text x=\"8\" y=\"36\" font-size=\"11\">median of the rounds; the line is from the minimum to the maximum{scale}</text>\n"
    );
    for (at, bar) in bars.iter().enumerate() {
        let top = TOP + ROW * at as f64;
        let middle = top + ROW / 2.0;
        let (low, mid, high) =
            (position(minimum(&bar.values)), position(median(&bar.values)), position(maximum(&bar.values)));
        let colour = if bar.label.contains("doorward") { OWN_BAR } else { BAR };
        let _ = write!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LABEL_WIDTH}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\" fill=\"{colour}\"/>\n\
             <path d=\"M{low:.1} {middle:.1}H{high:.1}M{low:.1} {:.1}v8M{high:.1} {:.1}v8\" stroke=\"{WHISKER}\" \
             stroke-width=\"1.5\" fill=\"none\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            LABEL_WIDTH - 8.0,
            middle + 4.5,
            escape(&bar.label),
            top + 4.0,
            (mid - LABEL_WIDTH).max(1.0),
            ROW - 8.0,
            middle - 4.0,
            middle - 4.0,
            high.max(mid) + 6.0,
            middle + 4.5,
            shown(median(&bar.values)),
        );
    }
    text + "</svg>\n"
}

/// Returns a value with about three digits.
fn shown(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.3}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
