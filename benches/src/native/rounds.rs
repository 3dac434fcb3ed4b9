//! Compares servers: all of them in every round, each started anew, each against the baseline of the same moment.
//!
//! What else a shared machine does comes and goes within seconds. So in a round all servers run, and are loaded one after the other for a
//! second, several times around: a ratio is taken between windows that lie seconds apart, and its median is the round's.

use crate::results::{Results, Table, number, ratio};
use crate::run::Setup;
use crate::serving::{self, Answer, Load, Server};
use crate::timing::Samples;

/// A server to compare.
pub struct Variant<'a> {
    /// What it is, in the table.
    pub label: String,
    /// Starts it.
    pub start: Start<'a>,
    /// What it is sent.
    pub load: Load,
    /// Whether it must refuse.
    pub refused: bool,
    /// What must be right about the answer to the load's path at this place.
    pub check: Check<'a>,
}

impl Variant<'_> {
    /// The same that must refuse.
    pub fn that_refuses(self) -> Self {
        Self { refused: true, ..self }
    }
}

/// Starts a server.
pub type Start<'a> = Box<dyn Fn() -> Result<Server, String> + 'a>;

/// Says what is wrong about the answer to a path.
pub type Check<'a> = Box<dyn Fn(&str, &Answer) -> Result<(), String> + 'a>;

/// What came of all rounds.
#[derive(Debug)]
pub struct Compared {
    lines: Vec<Line>,
    /// How far the control was from its twin at most.
    pub noise: f64,
}

#[derive(Debug)]
struct Line {
    label: String,
    /// Microseconds of CPU time per request, of each window of each round.
    rounds: Vec<Vec<f64>>,
    busy: Samples,
}

impl Line {
    fn cpu(&self) -> Samples {
        Samples(self.rounds.concat())
    }
}

/// How far the control may be from its twin before a run is called noisy.
const QUIET: f64 = 0.06;

/// How far it may be before ratios say nothing of a target.
const LOUD: f64 = 0.15;

/// How many requests a server has answered at least before it is measured, unless it is five times too slow.
const WARM: u64 = 20_000;

/// Which of the variants is the baseline: the first. The second is the same once more, the control.
pub const BASELINE: usize = 0;
/// The control's place.
pub const CONTROL: usize = 1;

/// Runs the rounds. The first two variants are the same, and tell the noise.
pub fn compare(setup: &Setup, variants: &[Variant<'_>], rounds: usize) -> Result<Compared, String> {
    let new =
        |variant: &Variant<'_>| Line { label: variant.label.clone(), rounds: Vec::new(), busy: Samples::default() };
    let mut lines: Vec<Line> = variants.iter().map(new).collect();
    for round in 0..rounds {
        let named = |at: usize| move |problem: String| format!("{}: {problem}", variants[at].label);
        let mut servers = Vec::new();
        for (at, variant) in variants.iter().enumerate() {
            servers.push(warmed(setup, variant, round == 0).map_err(named(at))?);
            lines[at].rounds.push(Vec::new());
            eprint!(".");
        }
        let (_, windows) = setup.seconds();
        for window in 0..windows as usize {
            // Another one begins each time, so that nobody is always measured after the same neighbour.
            for step in 0..variants.len() {
                let at = (step + (round + window) * 3) % variants.len();
                let Variant { load, refused, .. } = &variants[at];
                let measured = serving::load(&servers[at], load, *refused, 1, &setup.scratch).map_err(named(at))?;
                if let Some(round) = lines[at].rounds.last_mut() {
                    round.push(measured.cpu);
                }
                lines[at].busy.0.push(measured.busy);
            }
        }
    }
    eprintln!();
    let mut compared = Compared { lines, noise: 0.0 };
    compared.noise = compared.ratios(CONTROL, BASELINE).0.iter().map(|ratio| (ratio - 1.0).abs()).fold(0.0, f64::max);
    Ok(compared)
}

/// Starts a server, sees whether it answers rightly, and has it answer until its compiler is done.
fn warmed(setup: &Setup, variant: &Variant<'_>, thoroughly: bool) -> Result<Server, String> {
    let server = (variant.start)()?;
    let load = &variant.load;
    let headers: Vec<_> = load.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for path in load.paths.iter().take(if thoroughly { load.paths.len().min(100) } else { 3 }) {
        let answer = serving::ask_with(server.address, load.method, path, &headers, &load.body)?;
        (variant.check)(path, &answer).map_err(|wrong| format!("{path}: {wrong}: {answer:?}"))?;
    }
    let (warm, _) = setup.seconds();
    // Time alone does not warm a compiler that is kept from the processor.
    let mut warmed = 0;
    for _ in 0..5 {
        warmed += serving::load(&server, load, variant.refused, warm, &setup.scratch)?.requests;
        if warmed >= WARM {
            break;
        }
    }
    Ok(server)
}

impl Compared {
    /// Microseconds per request, and ratios to the variants at these places: `median (min–max)`.
    pub fn table(&self, id: &str, first: &str, against: &[(usize, &str)]) -> Table {
        let titles: Vec<String> = against.iter().map(|(_, base)| format!("÷ {base}")).collect();
        let mut columns = vec![first, "CPU µs, median", "min"];
        columns.extend(titles.iter().map(String::as_str));
        let mut table = Table::new(id, &columns);
        for (at, line) in self.lines.iter().enumerate() {
            let mut row = vec![line.label.clone(), number(line.cpu().median()), number(line.cpu().min())];
            row.extend(against.iter().map(|(base, _)| self.show(at, *base)));
            table.push(row);
        }
        table.remarks.push(self.remark());
        table
    }

    /// The median ratio of one variant to another.
    pub fn ratio(&self, variant: usize, base: usize) -> f64 {
        self.ratios(variant, base).median()
    }

    /// The ratios of one variant to another, as a table shows them.
    pub fn show(&self, variant: usize, base: usize) -> String {
        let ratios = self.ratios(variant, base);
        format!("{} ({}–{})", ratio(ratios.median()), ratio(ratios.min()), ratio(ratios.max()))
    }

    /// Takes down how far a target was reached, unless the machine was too loud for that to mean anything.
    pub fn reach(&self, results: &mut Results, id: &str, value: f64, command: &str) {
        if self.noise <= LOUD {
            results.reach(id, value, command);
        } else {
            println!(
                "{id}: {}, but twins differ by {:.1} %: nothing is said of this target",
                ratio(value),
                self.noise * 100.0
            );
        }
    }

    /// Microseconds of CPU time per request, as a table shows them.
    pub fn cost(&self, variant: usize) -> String {
        number(self.lines[variant].cpu().median())
    }

    /// One for each round: the median of those between windows of the same time around.
    fn ratios(&self, variant: usize, base: usize) -> Samples {
        let rounds = self.lines[variant].rounds.iter().zip(&self.lines[base].rounds);
        let ratio = |(costs, bases): (&Vec<f64>, &Vec<f64>)| {
            Samples(costs.iter().zip(bases).map(|(cost, base)| cost / base).collect()).median()
        };
        Samples(rounds.map(ratio).collect())
    }

    /// What to think of the run.
    pub fn remark(&self) -> String {
        let rounds = &self.lines[BASELINE].rounds;
        let windows: usize = rounds.iter().map(Vec::len).sum();
        let mark = if self.noise > QUIET { "**This run was noisy.** " } else { "" };
        let busy = self.lines.iter().map(|line| line.busy.min()).fold(1.0, f64::min);
        format!(
            "{mark}Rounds: {}, with {windows} windows; the control differs from its twin by at most {:.1} %; every server was busy for at \
             least {:.0} % of its window.",
            rounds.len(),
            self.noise * 100.0,
            busy * 100.0
        )
    }
}
