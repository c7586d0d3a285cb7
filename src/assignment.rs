//! The assignment problem: pair rows with columns, one to one, at the least total cost.
//!
//! Where several pairings cost the same, the answer depends on the algorithm, and so do the
//! identities that a tracker hands out. Two algorithms are here because two references are matched
//! to the last tie: [`jonker_volgenant`] answers as the Python package `lap` does, which PHALP
//! uses; [`crouse`] as `scipy.optimize.linear_sum_assignment`, which TrackEval uses.
//! Both take O(n^3) steps. Must not know what is being paired.

/// A matrix of costs, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Costs {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Costs {
    /// `rows` x `columns` costs, each computed by `cost(row, column)`.
    pub fn from_fn(rows: usize, columns: usize, mut cost: impl FnMut(usize, usize) -> f64) -> Costs {
        let mut values = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            values.extend((0..columns).map(|column| cost(row, column)));
        }
        Costs { rows, columns, values }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The cost of pairing `row` with `column`.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.columns + column]
    }

    fn check(&self) {
        assert!(self.values.iter().all(|cost| cost.is_finite()), "a cost to be minimised is not finite");
    }
}

/// The column of each row, by Jonker and Volgenant (Computing 38, 1987), ties as in `lap.lapjv` with
/// `extend_cost=True`: a matrix that is not square is filled up with zeros.
///
/// # Panics
/// If a cost is not finite.
pub fn jonker_volgenant(costs: &Costs) -> Vec<Option<usize>> {
    costs.check();
    if costs.rows == 0 || costs.columns == 0 {
        return vec![None; costs.rows];
    }
    let mut square = Square::new(costs);
    let mut free = square.reduce_columns();
    for _ in 0..2 {
        if !free.is_empty() {
            free = square.reduce_rows(free);
        }
    }
    for row in free {
        square.augment(row);
    }
    let real = |column: &Option<usize>| column.filter(|&column| column < costs.columns);
    square.column_of_row[..costs.rows].iter().map(real).collect()
}

/// The state of Jonker and Volgenant's algorithm on a matrix filled up to a square.
struct Square<'a> {
    costs: &'a Costs,
    n: usize,
    column_of_row: Vec<Option<usize>>,
    row_of_column: Vec<Option<usize>>,
    /// The dual variable of each column.
    price: Vec<f64>,
}

impl<'a> Square<'a> {
    fn new(costs: &'a Costs) -> Square<'a> {
        let n = costs.rows.max(costs.columns);
        Square { costs, n, column_of_row: vec![None; n], row_of_column: vec![None; n], price: vec![0.0; n] }
    }

    fn cost(&self, row: usize, column: usize) -> f64 {
        if row < self.costs.rows && column < self.costs.columns { self.costs.at(row, column) } else { 0.0 }
    }

    fn reduced(&self, row: usize, column: usize) -> f64 {
        self.cost(row, column) - self.price[column]
    }

    /// Gives each column to its cheapest row, last column first, then moves what a row can spare to
    /// the price of its only column. Returns the rows left without a column.
    fn reduce_columns(&mut self) -> Vec<usize> {
        let mut contested = vec![false; self.n];
        let cheapest: Vec<usize> = (0..self.n)
            .map(|column| {
                let cheaper = |best: usize, row: usize| self.cost(row, column) < self.cost(best, column);
                (1..self.n).fold(0, |best, row| if cheaper(best, row) { row } else { best })
            })
            .collect();
        for column in (0..self.n).rev() {
            let row = cheapest[column];
            self.price[column] = self.cost(row, column);
            if self.column_of_row[row].is_none() {
                self.column_of_row[row] = Some(column);
                self.row_of_column[column] = Some(row);
            } else {
                contested[row] = true;
            }
        }
        let mut free = Vec::new();
        for (row, contested) in contested.into_iter().enumerate() {
            match self.column_of_row[row] {
                None => free.push(row),
                Some(own) if !contested => {
                    let others = (0..self.n).filter(|&column| column != own);
                    let spare = others.map(|column| self.reduced(row, column)).fold(f64::INFINITY, f64::min);
                    self.price[own] -= spare;
                }
                Some(_) => {}
            }
        }
        free
    }

    /// Lets each free row take its best column from whoever has it, lowering the column's price by
    /// the distance to the second best. Returns the rows that are free afterwards.
    fn reduce_rows(&mut self, free: Vec<usize>) -> Vec<usize> {
        let mut waiting: Vec<usize> = free.into_iter().rev().collect();
        let mut still_free = Vec::new();
        let (mut position, mut rounds) = (0, 0);
        while let Some(row) = waiting.pop() {
            position += 1;
            rounds += 1;
            let (best, second) = self.two_best(row);
            let mut column = best.0;
            let mut owner = self.row_of_column[column];
            let lowered = self.price[column] - (second.1 - best.1);
            let lowers = lowered < self.price[column];
            let patient = rounds < position * self.n;
            if patient {
                if lowers {
                    self.price[column] = lowered;
                } else if let (Some(_), Some(other)) = (owner, second.0) {
                    column = other;
                    owner = self.row_of_column[other];
                }
            }
            if let Some(evicted) = owner {
                if patient && lowers {
                    waiting.push(evicted);
                    position -= 1;
                } else {
                    still_free.push(evicted);
                }
            }
            self.column_of_row[row] = Some(column);
            self.row_of_column[column] = Some(row);
        }
        still_free
    }

    /// The column of the least reduced cost and that of the second least, each with its cost; of
    /// equal ones the first counts as the least and the next as the second.
    fn two_best(&self, row: usize) -> ((usize, f64), (Option<usize>, f64)) {
        let mut best = (0, self.reduced(row, 0));
        let mut second = (None, f64::INFINITY);
        for column in 1..self.n {
            let cost = self.reduced(row, column);
            if cost < best.1 {
                second = (Some(best.0), best.1);
                best = (column, cost);
            } else if cost < second.1 {
                second = (Some(column), cost);
            }
        }
        (best, second)
    }

    /// Finds a cheapest alternating path from the free `row` to a free column and swaps along it.
    fn augment(&mut self, row: usize) {
        let (mut column, before) = self.cheapest_path(row);
        loop {
            let from = before[column];
            self.row_of_column[column] = Some(from);
            let previous = self.column_of_row[from].replace(column);
            match previous {
                Some(next) if from != row => column = next,
                _ => return,
            }
        }
    }

    /// Dijkstra over the columns; the end of the path, and for each column the row before it.
    ///
    /// `order` is split in three: columns whose distance is settled (`..low`), those at the least
    /// distance and not yet looked through (`low..high`), and the rest.
    fn cheapest_path(&mut self, start: usize) -> (usize, Vec<usize>) {
        let mut order: Vec<usize> = (0..self.n).collect();
        let mut before = vec![start; self.n];
        let mut distance: Vec<f64> = (0..self.n).map(|column| self.reduced(start, column)).collect();
        let (mut low, mut high, mut settled) = (0, 0, 0);
        let end = 'search: loop {
            if low == high {
                settled = low;
                high = gather_nearest(&mut order, &distance, low);
                let free = order[low..high].iter().rfind(|&&column| self.row_of_column[column].is_none());
                if let Some(&column) = free {
                    break column;
                }
            }
            while low != high {
                let column = order[low];
                let nearest = distance[column];
                // a column without a row would have ended the search
                let Some(row) = self.row_of_column[column] else { break 'search column };
                low += 1;
                let offset = self.reduced(row, column) - nearest;
                let rest = high;
                for at in rest..self.n {
                    let other = order[at];
                    let through = self.reduced(row, other) - offset;
                    if through < distance[other] {
                        distance[other] = through;
                        before[other] = row;
                        if through == nearest {
                            if self.row_of_column[other].is_none() {
                                low -= 1;
                                break 'search other;
                            }
                            order.swap(at, high);
                            high += 1;
                        }
                    }
                }
            }
        };
        let nearest = distance[order[low.min(self.n - 1)]];
        for &column in &order[..settled] {
            self.price[column] += distance[column] - nearest;
        }
        (end, before)
    }
}

/// Moves the columns of the least distance among `order[low..]` to its front; returns their end.
fn gather_nearest(order: &mut [usize], distance: &[f64], low: usize) -> usize {
    let mut high = low + 1;
    let mut least = distance[order[low]];
    for at in low + 1..order.len() {
        let column = order[at];
        if distance[column] <= least {
            if distance[column] < least {
                high = low;
                least = distance[column];
            }
            order.swap(at, high);
            high += 1;
        }
    }
    high
}

/// The column of each row, by successive shortest augmenting paths (Crouse, IEEE TAES 52(4), 2016),
/// ties as in `scipy.optimize.linear_sum_assignment`: a matrix of equal costs gives the diagonal.
///
/// # Panics
/// If a cost is not finite.
pub fn crouse(costs: &Costs) -> Vec<Option<usize>> {
    costs.check();
    if costs.columns < costs.rows {
        let transposed = Costs::from_fn(costs.columns, costs.rows, |row, column| costs.at(column, row));
        let mut answer = vec![None; costs.rows];
        for (row, column) in crouse(&transposed).into_iter().enumerate() {
            if let Some(column) = column {
                answer[column] = Some(row);
            }
        }
        return answer;
    }
    let mut paths = Paths {
        costs,
        row_price: vec![0.0; costs.rows],
        column_price: vec![0.0; costs.columns],
        column_of_row: vec![None; costs.rows],
        row_of_column: vec![None; costs.columns],
    };
    for row in 0..costs.rows {
        paths.add(row);
    }
    paths.column_of_row
}

/// The state of Crouse's algorithm: rows are added one at a time.
struct Paths<'a> {
    costs: &'a Costs,
    row_price: Vec<f64>,
    column_price: Vec<f64>,
    column_of_row: Vec<Option<usize>>,
    row_of_column: Vec<Option<usize>>,
}

impl Paths<'_> {
    fn add(&mut self, start: usize) {
        let columns = self.costs.columns;
        let mut before = vec![start; columns];
        let mut distance = vec![f64::INFINITY; columns];
        // from the last to the first: then equal costs give the diagonal
        let mut open: Vec<usize> = (0..columns).rev().collect();
        let (mut rows_seen, mut columns_seen) = (vec![start], Vec::new());
        let (mut row, mut least) = (start, 0.0);
        let end = loop {
            let (mut nearest, mut at_nearest) = (f64::INFINITY, 0);
            for (at, &column) in open.iter().enumerate() {
                let through =
                    least + self.costs.at(row, column) - self.row_price[row] - self.column_price[column];
                if through < distance[column] {
                    before[column] = row;
                    distance[column] = through;
                }
                let free = self.row_of_column[column].is_none();
                if distance[column] < nearest || (distance[column] == nearest && free) {
                    (nearest, at_nearest) = (distance[column], at);
                }
            }
            least = nearest;
            let column = open.swap_remove(at_nearest);
            columns_seen.push(column);
            match self.row_of_column[column] {
                Some(next) => {
                    row = next;
                    rows_seen.push(next);
                }
                None => break column,
            }
        };
        for &seen in &rows_seen {
            self.row_price[seen] += self.column_of_row[seen].map_or(least, |column| least - distance[column]);
        }
        for &seen in &columns_seen {
            self.column_price[seen] -= least - distance[seen];
        }
        let mut column = Some(end);
        while let Some(taken) = column {
            let row = before[taken];
            self.row_of_column[taken] = Some(row);
            column = self.column_of_row[row].replace(taken);
            if row == start {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(costs: &Costs, columns: &[Option<usize>]) -> f64 {
        columns
            .iter()
            .enumerate()
            .filter_map(|(row, column)| column.map(|column| costs.at(row, column)))
            .sum()
    }

    fn least_by_trial(costs: &Costs, row: usize, used: &mut Vec<bool>, spare: usize) -> f64 {
        if row == costs.rows() {
            return 0.0;
        }
        let mut least =
            if spare > 0 { least_by_trial(costs, row + 1, used, spare - 1) } else { f64::INFINITY };
        for column in 0..costs.columns() {
            if !used[column] {
                used[column] = true;
                least = least.min(costs.at(row, column) + least_by_trial(costs, row + 1, used, spare));
                used[column] = false;
            }
        }
        least
    }

    fn one_to_one(columns: &[Option<usize>]) -> bool {
        let mut seen: Vec<usize> = columns.iter().flatten().copied().collect();
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        seen.len() == count
    }

    proptest! {
        #[test]
        fn both_find_the_least_total(rows in 1usize..6, columns in 1usize..6, coarse in any::<bool>(),
                                     values in prop::collection::vec(0.0f64..10.0, 36)) {
            let value = |at: usize| if coarse { values[at].floor() } else { values[at] };
            let costs = Costs::from_fn(rows, columns, |row, column| value(row * 6 + column));
            let spare = rows.saturating_sub(columns);
            let least = least_by_trial(&costs, 0, &mut vec![false; columns], spare);
            for columns_of_rows in [jonker_volgenant(&costs), crouse(&costs)] {
                prop_assert!(one_to_one(&columns_of_rows));
                prop_assert_eq!(columns_of_rows.iter().flatten().count(), rows.min(columns));
                prop_assert!((total(&costs, &columns_of_rows) - least).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn ties_fall_as_in_the_references() {
        let equal = |rows, columns| Costs::from_fn(rows, columns, |_, _| 1.0);
        assert_eq!(jonker_volgenant(&equal(2, 2)), [Some(1), Some(0)]);
        assert_eq!(crouse(&equal(2, 2)), [Some(0), Some(1)]);
        assert_eq!(jonker_volgenant(&equal(2, 3)), [Some(0), Some(1)]);
        assert_eq!(crouse(&equal(3, 2)), [Some(0), Some(1), None]);
    }

    #[test]
    fn nothing_to_pair() {
        for columns in
            [jonker_volgenant(&Costs::from_fn(2, 0, |_, _| 0.0)), crouse(&Costs::from_fn(2, 0, |_, _| 0.0))]
        {
            assert_eq!(columns, [None, None]);
        }
    }
}
