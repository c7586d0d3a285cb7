//! Bisection: finds the largest value that works, assuming that every smaller value works and every larger one fails.
//!
//! Both ends of the range are tried first, then geometric means of the open interval, because the accuracy of a limit is
//! a ratio.

use crate::experiment::Search;

/// State of a bisection.
#[derive(Debug, Clone, PartialEq)]
pub struct Bisection {
    from: f64,
    to: f64,
    within: f64,
    step: Option<f64>,
    /// The largest value that is known to work.
    pub largest_ok: Option<f64>,
    /// The smallest value that is known to fail.
    pub smallest_failed: Option<f64>,
}

impl Bisection {
    /// A bisection before any try.
    pub fn new(search: &Search) -> Bisection {
        let Search { from, to, within, step, .. } = *search;
        Bisection { from, to, within, step, largest_ok: None, smallest_failed: None }
    }

    /// The value to try next; `None` once the search has ended.
    pub fn next(&self) -> Option<f64> {
        match (self.largest_ok, self.smallest_failed) {
            (None, None) => Some(self.from),
            // not even the smallest works
            (None, Some(_)) => None,
            (Some(ok), None) => (ok < self.to).then_some(self.to),
            (Some(ok), Some(failed)) => self.midpoint(ok, failed),
        }
    }

    /// Records whether the value that [`Bisection::next`] returned works.
    pub fn record(&mut self, value: f64, works: bool) {
        let side = if works { &mut self.largest_ok } else { &mut self.smallest_failed };
        *side = Some(value);
    }

    /// Maximum number of values that remain to be tried.
    pub fn remaining_at_most(&self) -> usize {
        let Some(value) = self.next() else { return 0 };
        let after = |works: bool| {
            let mut after = self.clone();
            after.record(value, works);
            after.remaining_at_most()
        };
        1 + after(true).max(after(false))
    }

    /// `largest_ok` or `smallest_failed` if `value` is that, once the search has ended.
    pub fn edge(&self, value: f64) -> Option<&'static str> {
        match value {
            _ if self.next().is_some() => None,
            value if self.largest_ok == Some(value) => Some("largest_ok"),
            value if self.smallest_failed == Some(value) => Some("smallest_failed"),
            _ => None,
        }
    }

    /// The geometric mean of the open interval, for estimating the time of a try.
    pub fn typical_value(&self) -> f64 {
        let (low, high) = (self.largest_ok.unwrap_or(self.from), self.smallest_failed.unwrap_or(self.to));
        self.rounded((low * high).sqrt())
    }

    fn midpoint(&self, ok: f64, failed: f64) -> Option<f64> {
        if failed / ok <= 1.0 + self.within {
            return None;
        }
        let middle = self.rounded((ok * failed).sqrt());
        let step = self.step.unwrap_or(0.0);
        let middle = middle.max(ok + step).min(failed - step);
        (middle > ok && middle < failed).then_some(middle)
    }

    fn rounded(&self, value: f64) -> f64 {
        self.step.map_or(value, |step| (value / step).round() * step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use posebook_core::random::stream;

    fn search(from: f64, to: f64, within: f64, step: Option<f64>) -> Search {
        Search { key: "k".into(), from, to, within, step, with: Vec::new() }
    }

    /// Searches to the end; returns the tried values and the final state.
    fn run(search: &Search, works: impl Fn(f64) -> bool) -> (Vec<f64>, Bisection) {
        let mut bisection = Bisection::new(search);
        let mut tried = Vec::new();
        while let Some(value) = bisection.next() {
            tried.push(value);
            bisection.record(value, works(value));
        }
        (tried, bisection)
    }

    #[test]
    fn the_ends_come_first_and_may_suffice() {
        let loops = search(1.0, 512.0, 0.1, Some(1.0));
        let (tried, none) = run(&loops, |_| false);
        assert_eq!((tried, none.largest_ok, none.smallest_failed), (vec![1.0], None, Some(1.0)));
        assert_eq!(none.edge(1.0), Some("smallest_failed"));
        let (tried, all) = run(&loops, |_| true);
        assert_eq!((tried, all.largest_ok, all.smallest_failed), (vec![1.0, 512.0], Some(512.0), None));
        let (tried, some) = run(&loops, |value| value <= 40.0);
        assert_eq!(tried, [1.0, 512.0, 23.0, 109.0, 50.0, 34.0, 41.0, 37.0, 39.0]);
        assert_eq!((some.edge(37.0), some.edge(41.0)), (None, Some("smallest_failed")));
        assert_eq!(some.largest_ok, Some(39.0));
    }

    #[test]
    fn an_unfinished_search_has_no_edge() {
        let mut open = Bisection::new(&search(1.0, 8.0, 0.1, Some(1.0)));
        open.record(1.0, true);
        assert_eq!((open.next(), open.edge(1.0), open.remaining_at_most()), (Some(8.0), None, 5));
    }

    #[test]
    fn any_edge_is_found_in_few_tries() {
        let mut draws = stream(1, "bisection", &[]);
        for _ in 0..500 {
            let whole = draws.bernoulli(0.6);
            let step = if draws.bernoulli(0.5) { 1.0 } else { 16.0 };
            let within = draws.range(0.01, 0.5);
            let from = if whole { step * (1 + draws.below(20)) as f64 } else { draws.range(0.1, 5.0) };
            let times = draws.range(1.5, 1000.0);
            let to = if whole { (from * times / step).round() * step } else { from * times };
            let search = search(from, to, within, whole.then_some(step));
            let edge = (from.ln() + (to / from).ln() * draws.range(-0.1, 1.1)).exp();
            let at_most = Bisection::new(&search).remaining_at_most();
            let (tried, end) = run(&search, |value| value <= edge);
            let message = format!("{search:?}, edge {edge}: {tried:?}");

            assert!(tried.len() <= at_most, "{message}, at most {at_most}");
            // halvings of the logarithm, plus one each for both ends and rounding
            let halvings = ((to / from).ln() / (1.0 + within).ln()).log2().ceil().max(0.0);
            assert!(at_most as f64 <= 3.0 + halvings, "{message}, at most {at_most}, {halvings} halvings");
            assert!(end.largest_ok.is_none_or(|ok| ok <= edge), "{message}");
            assert!(end.smallest_failed.is_none_or(|failed| failed > edge), "{message}");
            match (end.largest_ok, end.smallest_failed) {
                (Some(ok), Some(failed)) => {
                    let next_to_each_other = whole && failed - ok <= step;
                    assert!(failed / ok <= 1.0 + within || next_to_each_other, "{message}");
                }
                (Some(ok), None) => assert_eq!(ok, to, "{message}"),
                (None, failed) => assert_eq!(failed, Some(from), "{message}"),
            }
            assert!(!whole || tried.iter().all(|value| value % step == 0.0), "{message}");
        }
    }
}
