//! Measurements with wrk: requests a second, latency, and what the servers used meanwhile.

use std::process::Command;

use crate::Fallible;
use crate::process::{Usage, busy_ticks, ended_children_ticks, settle, usage};
use crate::samples::Recorder;
use crate::world::{World, output};

/// Time that wrk waits for a response. A service that hashes for each request needs seconds.
const TIMEOUT: &str = "30s";

/// The most seconds of a measurement, unless SECONDS_EACH is more.
const LONGEST: u64 = 16;

/// The object of a measurement: a port and path of a contestant, the nginx in front of it if there is one, and its service.
pub(crate) struct Target<'a> {
    pub(crate) port: u16,
    pub(crate) path: &'a str,
    /// Process ids, workers included.
    pub(crate) front: Vec<u32>,
    pub(crate) service: Vec<u32>,
}

/// The result of one measurement.
pub(crate) struct Measurement {
    pub(crate) requests: f64,
    rate: f64,
    p50: f64,
    p99: f64,
    front: Usage,
    service: Usage,
    /// Processor time of other programs, in percent of one core.
    pub(crate) others: f64,
}

/// Runs wrk with one thread. It fails if a response is not a 2xx.
pub(crate) fn measure(
    target: &Target,
    authorization: &str,
    connections: usize,
    seconds: u64,
) -> Fallible<Measurement> {
    let hertz: f64 = output(Command::new("getconf").arg("CLK_TCK"))?.trim().parse()?;
    let (front, service) = (usage(&target.front)?, usage(&target.service)?);
    let (busy, own) = (busy_ticks(), ended_children_ticks());
    let text = output(Command::new("wrk").args(["-t", "1", "--latency", "--timeout", TIMEOUT]).args([
        "-c",
        &connections.to_string(),
        "-d",
        &format!("{seconds}s"),
        "-H",
        &format!("Authorization: {authorization}"),
        &format!("http://127.0.0.1:{}{}", target.port, target.path),
    ]))?;
    let (busy, own) = (busy_ticks() - busy, ended_children_ticks() - own);
    let (front, service) = (usage(&target.front)?.since(front), usage(&target.service)?.since(service));
    if text.contains("Non-2xx")
        || text.contains("Socket errors: connect") && !text.contains("connect 0, read 0, write 0")
    {
        return Err(format!("not every response was 2xx:\n{text}").into());
    }
    let missing = || format!("wrk printed no figures:\n{text}");
    let after = |label: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(label))?;
        line.trim_start().strip_prefix(label)?.split_whitespace().next().map(str::to_owned)
    };
    let requests = text.lines().find(|line| line.contains(" requests in ")).ok_or_else(missing)?;
    let requests: f64 = requests.split_whitespace().next().ok_or_else(missing)?.parse()?;
    let used = busy.saturating_sub(front.ticks + service.ticks + own) as f64;
    Ok(Measurement {
        requests,
        rate: after("Requests/sec:").ok_or_else(missing)?.parse()?,
        p50: microseconds(&after("50%").ok_or_else(missing)?)?,
        p99: microseconds(&after("99%").ok_or_else(missing)?)?,
        front,
        service,
        others: used / hertz / seconds as f64 * 100.0,
    })
}

/// Reads a time of wrk, such as `1.25ms`.
fn microseconds(text: &str) -> Fallible<f64> {
    let (number, factor) = [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 60e6)]
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .ok_or_else(|| format!("wrk printed an unknown time: {text}"))?;
    Ok(number.parse::<f64>()? * factor)
}

impl Measurement {
    /// Appends all figures as samples.
    pub(crate) fn record(
        &self,
        recorder: &mut Recorder,
        case: &str,
        contestant: &str,
        round: usize,
    ) -> Fallible<()> {
        let hertz: f64 = output(Command::new("getconf").arg("CLK_TCK"))?.trim().parse()?;
        let cpu = |ticks: u64| ticks as f64 / hertz * 1e6 / self.requests;
        let figures = [
            ("rate", self.rate),
            ("p50_us", self.p50),
            ("p99_us", self.p99),
            ("cpu_us", cpu(self.front.ticks + self.service.ticks)),
            ("cpu_front_us", cpu(self.front.ticks)),
            ("cpu_service_us", cpu(self.service.ticks)),
            ("switches_front", self.front.switches as f64 / self.requests),
            ("switches_service", self.service.switches as f64 / self.requests),
            ("others_percent", self.others),
        ];
        for (metric, value) in figures {
            recorder.sample(case, contestant, round, metric, value)?;
        }
        Ok(())
    }
}

/// Measures a target once, and returns the seconds for the next measurements. They are more than `seconds` if the service
/// takes so long that few requests end within them.
fn settled_length(target: &Target, authorization: &str, connections: usize, seconds: u64) -> Fallible<u64> {
    let mut length = seconds;
    loop {
        let one = measure(target, authorization, connections, length)?;
        if one.requests >= (2 * connections) as f64 || length >= LONGEST {
            return match one.requests {
                0.0 => Err(format!("no request was answered within {length} s").into()),
                _ => Ok(length),
            };
        }
        settle(&[target.front.clone(), target.service.clone()].concat())?;
        length = (length * 4).min(LONGEST);
    }
}

/// Measures all targets in interleaved rounds, each round in another order, and records the rounds that count. A round in
/// which other programs used the machine is repeated. After twice the number of rounds, every round counts.
pub(crate) fn rounds(
    world: &World,
    recorder: &mut Recorder,
    case: &str,
    targets: &[(&str, Target)],
    authorization: &str,
    connections: usize,
) -> Fallible<()> {
    let options = world.options;
    // This opens the connections, and the answer is cached.
    let mut seconds = Vec::new();
    for (name, target) in targets {
        let length = settled_length(target, authorization, connections, options.seconds);
        seconds.push(length.map_err(|error| format!("{case}, {name}: {error}"))?);
    }
    let mut processes: Vec<u32> =
        targets.iter().flat_map(|(_, target)| target.front.iter().chain(&target.service)).copied().collect();
    processes.sort_unstable();
    processes.dedup();
    let (mut counted, mut noisy) = (0, 0);
    for tried in 0..3 * options.rounds {
        if counted == options.rounds {
            break;
        }
        let mut measured = Vec::new();
        for at in 0..targets.len() {
            let at = (at + tried) % targets.len();
            let (Some((name, target)), Some(seconds)) = (targets.get(at), seconds.get(at)) else { continue };
            settle(&processes)?;
            let one = measure(target, authorization, connections, *seconds)
                .map_err(|error| format!("{case}, {name}: {error}"))?;
            measured.push((*name, one));
        }
        let others = measured.iter().map(|(_, one)| one.others).fold(0.0, f64::max);
        let is_noisy = others > options.others;
        eprintln!("{case}, round {}: other programs used {others:.0} % of a core", tried + 1);
        if is_noisy && tried < 2 * options.rounds {
            continue;
        }
        for (name, one) in &measured {
            one.record(recorder, case, name, counted)?;
        }
        counted += 1;
        noisy += usize::from(is_noisy);
    }
    if noisy > 0 {
        recorder.note(format!(
            "{case}: other programs used the machine in {noisy} of {counted} rounds. Measure again when it is quiet."
        ))?;
    }
    Ok(())
}
