//! Figures by name, on one line each time, to be summed over processes.

use std::collections::BTreeMap;
use std::time::Instant;

/// Names that say that something went wrong.
const BAD: [&str; 2] = ["failed", "lost"];

/// Named figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally(BTreeMap<String, f64>);

impl Tally {
    /// No figures yet.
    pub fn new() -> Tally {
        Tally::default()
    }

    /// The tally with one figure more.
    pub fn with(mut self, name: &str, figure: f64) -> Tally {
        self.0.insert(name.to_owned(), figure);
        self
    }

    /// The tally with the seconds since `start` as `took_s`.
    pub fn since(self, start: Instant) -> Tally {
        self.with("took_s", start.elapsed().as_secs_f64())
    }

    /// Adds the figures of another process: greatest where the name ends in
    /// `_s` or `_max_ms`, sums otherwise.
    pub fn merge(&mut self, other: &Tally) {
        for (name, &figure) in &other.0 {
            let mine = self.0.entry(name.clone()).or_default();
            if name.ends_with("_s") || name.ends_with("_max_ms") {
                *mine = mine.max(figure);
            } else {
                *mine += figure;
            }
        }
    }

    /// Whether nothing failed and nothing was lost.
    pub fn is_good(&self) -> bool {
        BAD.iter()
            .all(|name| self.0.get(*name).is_none_or(|&n| n == 0.0))
    }

    /// Prints it as one line that begins with `word`.
    pub fn say(&self, word: &str) {
        let mut line = word.to_owned();
        for (name, figure) in &self.0 {
            let digits = if figure.fract() == 0.0 { 0 } else { 3 };
            line.push_str(&format!(" {name}={figure:.digits$}"));
        }
        // One write, so that lines of several processes never mix.
        println!("{line}");
    }

    /// Reads what [`Tally::say`] printed after the word.
    pub fn read<'a>(words: impl Iterator<Item = &'a str>) -> Option<Tally> {
        let figure = |word: &str| {
            let (name, figure) = word.split_once('=')?;
            Some((name.to_owned(), figure.parse().ok()?))
        };
        words.map(figure).collect::<Option<_>>().map(Tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_and_summed() {
        let tally = |answered, failed, took| {
            Tally::new()
                .with("answered", answered)
                .with("failed", failed)
                .with("took_s", took)
        };
        let mut sum = Tally::new();
        sum.merge(&tally(5.0, 0.0, 1.5));
        assert!(sum.is_good());
        let said = "answered=7 failed=1 took_s=1.250";
        sum.merge(&Tally::read(said.split(' ')).expect("figures"));
        assert_eq!(sum, tally(12.0, 1.0, 1.5));
        assert!(!sum.is_good());
        assert_eq!(Tally::read("answered=x".split(' ')), None);
    }
}
