//! Linear assignment: assign rows to columns, one to one, at the least total cost.
//!
//! Where several assignments cost the same, the result depends on the algorithm, and so do the identities that a
//! tracker returns. Two algorithms are here because two references are matched including their ties:
//! [`jonker_volgenant`] gives the results of the Python package `lap`, which PHALP uses; [`crouse`] those of
//! `scipy.optimize.linear_sum_assignment`, which TrackEval uses. Both take O(n^3) steps.

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

    /// Number of rows.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[inline]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The cost of assigning `row` to `column`.
    #[inline]
    pub fn get(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.columns + column]
    }

    fn check(&self) {
        assert!(self.values.iter().all(|cost| cost.is_finite()), "a cost to be minimized is not finite");
    }
}

/// Assigns a column to each row by Jonker and Volgenant (Computing 38, 1987), ties as in `lap.lapjv` with
/// `extend_cost=True`: a matrix that is not square is padded with zeros.
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
    let not_padding = |column: &Option<usize>| column.filter(|&column| column < costs.columns);
    square.column_of_row[..costs.rows].iter().map(not_padding).collect()
}

/// State of Jonker and Volgenant's algorithm on a matrix padded to a square.
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

    #[inline]
    fn cost(&self, row: usize, column: usize) -> f64 {
        if row < self.costs.rows && column < self.costs.columns { self.costs.get(row, column) } else { 0.0 }
    }

    #[inline]
    fn reduced(&self, row: usize, column: usize) -> f64 {
        self.cost(row, column) - self.price[column]
    }

    /// Column reduction and reduction transfer: assigns each column to its cheapest row, last column first, then
    /// moves the slack of each row with a single column to that column's price. Returns the unassigned rows.
    fn reduce_columns(&mut self) -> Vec<usize> {
        let mut is_contested = vec![false; self.n];
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
                is_contested[row] = true;
            }
        }
        let mut free = Vec::new();
        for (row, is_contested) in is_contested.into_iter().enumerate() {
            match self.column_of_row[row] {
                None => free.push(row),
                Some(own) if !is_contested => {
                    let others = (0..self.n).filter(|&column| column != own);
                    let slack = others.map(|column| self.reduced(row, column)).fold(f64::INFINITY, f64::min);
                    self.price[own] -= slack;
                }
                Some(_) => {}
            }
        }
        free
    }

    /// Augmenting row reduction: each free row takes its best column from its current row, lowering the column's
    /// price by the distance to the second best. Returns the rows that are free afterwards.
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
            let within_limit = rounds < position * self.n;
            if within_limit {
                if lowers {
                    self.price[column] = lowered;
                } else if let (Some(_), Some(other)) = (owner, second.0) {
                    column = other;
                    owner = self.row_of_column[other];
                }
            }
            if let Some(evicted) = owner {
                if within_limit && lowers {
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

    /// The columns with the least and the second least reduced cost, each with its cost. Of equal costs the first
    /// column comes first.
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
    /// `order` has three parts: columns whose distance is settled (`..low`), those at the least distance that are
    /// not scanned yet (`low..high`), and the rest.
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
                for index in rest..self.n {
                    let other = order[index];
                    let through = self.reduced(row, other) - offset;
                    if through < distance[other] {
                        distance[other] = through;
                        before[other] = row;
                        if through == nearest {
                            if self.row_of_column[other].is_none() {
                                low -= 1;
                                break 'search other;
                            }
                            order.swap(index, high);
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
    for index in low + 1..order.len() {
        let column = order[index];
        if distance[column] <= least {
            if distance[column] < least {
                high = low;
                least = distance[column];
            }
            order.swap(index, high);
            high += 1;
        }
    }
    high
}

/// Assigns a column to each row by successive shortest augmenting paths (Crouse, IEEE TAES 52(4), 2016), ties as in
/// `scipy.optimize.linear_sum_assignment`: a matrix of equal costs gives the diagonal.
///
/// # Panics
/// If a cost is not finite.
pub fn crouse(costs: &Costs) -> Vec<Option<usize>> {
    costs.check();
    if costs.columns < costs.rows {
        let transposed = Costs::from_fn(costs.columns, costs.rows, |row, column| costs.get(column, row));
        let mut column_of_row = vec![None; costs.rows];
        for (row, column) in crouse(&transposed).into_iter().enumerate() {
            if let Some(column) = column {
                column_of_row[column] = Some(row);
            }
        }
        return column_of_row;
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

/// State of Crouse's algorithm: rows are added one at a time.
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
        // in descending order: then equal costs give the diagonal
        let mut open: Vec<usize> = (0..columns).rev().collect();
        let (mut visited_rows, mut visited_columns) = (vec![start], Vec::new());
        let (mut row, mut least) = (start, 0.0);
        let end = loop {
            let (mut nearest, mut nearest_index) = (f64::INFINITY, 0);
            for (index, &column) in open.iter().enumerate() {
                let through =
                    least + self.costs.get(row, column) - self.row_price[row] - self.column_price[column];
                if through < distance[column] {
                    before[column] = row;
                    distance[column] = through;
                }
                let free = self.row_of_column[column].is_none();
                if distance[column] < nearest || (distance[column] == nearest && free) {
                    (nearest, nearest_index) = (distance[column], index);
                }
            }
            least = nearest;
            let column = open.swap_remove(nearest_index);
            visited_columns.push(column);
            match self.row_of_column[column] {
                Some(next) => {
                    row = next;
                    visited_rows.push(next);
                }
                None => break column,
            }
        };
        for &visited in &visited_rows {
            self.row_price[visited] +=
                self.column_of_row[visited].map_or(least, |column| least - distance[column]);
        }
        for &visited in &visited_columns {
            self.column_price[visited] -= least - distance[visited];
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
            .filter_map(|(row, column)| column.map(|column| costs.get(row, column)))
            .sum()
    }

    fn least_by_brute_force(costs: &Costs, row: usize, used: &mut Vec<bool>, slack: usize) -> f64 {
        if row == costs.rows() {
            return 0.0;
        }
        let mut least =
            if slack > 0 { least_by_brute_force(costs, row + 1, used, slack - 1) } else { f64::INFINITY };
        for column in 0..costs.columns() {
            if !used[column] {
                used[column] = true;
                least = least.min(costs.get(row, column) + least_by_brute_force(costs, row + 1, used, slack));
                used[column] = false;
            }
        }
        least
    }

    fn one_to_one(columns: &[Option<usize>]) -> bool {
        let mut assigned: Vec<usize> = columns.iter().flatten().copied().collect();
        let count = assigned.len();
        assigned.sort_unstable();
        assigned.dedup();
        assigned.len() == count
    }

    proptest! {
        #[test]
        fn both_algorithms_find_the_least_total(rows in 1usize..6, columns in 1usize..6, coarse in any::<bool>(),
                                     values in prop::collection::vec(0.0f64..10.0, 36)) {
            let value = |index: usize| if coarse { values[index].floor() } else { values[index] };
            let costs = Costs::from_fn(rows, columns, |row, column| value(row * 6 + column));
            let slack = rows.saturating_sub(columns);
            let least = least_by_brute_force(&costs, 0, &mut vec![false; columns], slack);
            for columns_of_rows in [jonker_volgenant(&costs), crouse(&costs)] {
                prop_assert!(one_to_one(&columns_of_rows));
                prop_assert_eq!(columns_of_rows.iter().flatten().count(), rows.min(columns));
                prop_assert!((total(&costs, &columns_of_rows) - least).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn ties_are_broken_as_in_the_references() {
        let equal = |rows, columns| Costs::from_fn(rows, columns, |_, _| 1.0);
        assert_eq!(jonker_volgenant(&equal(2, 2)), [Some(1), Some(0)]);
        assert_eq!(crouse(&equal(2, 2)), [Some(0), Some(1)]);
        assert_eq!(jonker_volgenant(&equal(2, 3)), [Some(0), Some(1)]);
        assert_eq!(crouse(&equal(3, 2)), [Some(0), Some(1), None]);
    }

    #[test]
    fn a_matrix_without_columns_assigns_nothing() {
        for columns in
            [jonker_volgenant(&Costs::from_fn(2, 0, |_, _| 0.0)), crouse(&Costs::from_fn(2, 0, |_, _| 0.0))]
        {
            assert_eq!(columns, [None, None]);
        }
    }
}
