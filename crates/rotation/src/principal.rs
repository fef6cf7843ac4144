//! Principal directions of rows: the basis in which their coefficients are uncorrelated (Karhunen-Loeve).
//!
//! The second moment of the rows is made tridiagonal by Householder reflections and then diagonal by implicit QL steps (C. Reinsch, J.
//! Wilkinson, "Handbook for Automatic Computation" II, 1971, `tred2` and `tql2`; the loops as in JAMA), in binary64 and in one order.

use seedpress_matrix::{View, add_product, transpose};

/// Rows that are widened to binary64 together.
const ROWS: usize = 256;

/// Steps for one eigenvalue at most: three are usual.
const STEPS: usize = 60;

/// The principal directions of rows of `columns` values, row-major, those of the largest variance about zero first; `None` where numbers
/// overflow or nothing converges.
#[must_use]
pub fn principal(values: &[f32], columns: usize) -> Option<Vec<f32>> {
    let mut moment = vec![0f64; columns * columns];
    for rows in values.chunks(ROWS * columns) {
        let rows: Vec<f64> = rows.iter().map(|&v| f64::from(v)).collect();
        let rows = View::new(&rows, columns);
        add_product(&mut moment, columns, rows.t(), rows);
    }
    if moment.iter().any(|entry| !entry.is_finite()) {
        return None;
    }
    let (mut diagonal, mut beside) = (vec![0f64; columns], vec![0f64; columns]);
    tridiagonal(&mut moment, &mut diagonal, &mut beside);
    let mut directions = transpose(&moment, columns, columns);
    diagonalise(&mut directions, &mut diagonal, &mut beside)?;
    let mut order: Vec<usize> = (0..columns).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    Some(order.iter().flat_map(|&at| &directions[at * columns..][..columns]).map(|&entry| entry as f32).collect())
}

/// Symmetric `v` becomes the transform to a tridiagonal matrix with this diagonal and, from index 1, these entries beside it. One
/// function, as the `tred2` of EISPACK that it follows step by step: pieces of it would share every variable.
fn tridiagonal(v: &mut [f64], d: &mut [f64], e: &mut [f64]) {
    let n = d.len();
    d.copy_from_slice(&v[(n - 1) * n..]);
    for i in (1..n).rev() {
        let scale: f64 = d[..i].iter().map(|x| x.abs()).sum();
        let mut h = 0.0;
        if scale == 0.0 {
            e[i] = d[i - 1];
            for j in 0..i {
                d[j] = v[(i - 1) * n + j];
                v[i * n + j] = 0.0;
                v[j * n + i] = 0.0;
            }
        } else {
            for x in &mut d[..i] {
                *x /= scale;
                h += *x * *x;
            }
            let f = d[i - 1];
            let g = if f > 0.0 { -h.sqrt() } else { h.sqrt() };
            e[i] = scale * g;
            h -= f * g;
            d[i - 1] = f - g;
            e[..i].fill(0.0);
            for j in 0..i {
                let f = d[j];
                v[j * n + i] = f;
                let mut g = e[j] + v[j * n + j] * f;
                for k in j + 1..i {
                    g += v[k * n + j] * d[k];
                    e[k] += v[k * n + j] * f;
                }
                e[j] = g;
            }
            let mut f = 0.0;
            for j in 0..i {
                e[j] /= h;
                f += e[j] * d[j];
            }
            let hh = f / (h + h);
            for j in 0..i {
                e[j] -= hh * d[j];
            }
            // Row by row: rows lie together.
            for k in 0..i {
                let (dk, ek) = (d[k], e[k]);
                for j in 0..=k {
                    v[k * n + j] -= d[j] * ek + e[j] * dk;
                }
            }
            for j in 0..i {
                d[j] = v[(i - 1) * n + j];
                v[i * n + j] = 0.0;
            }
        }
        d[i] = h;
    }
    accumulate(v, d, n);
    for j in 0..n {
        d[j] = v[(n - 1) * n + j];
        v[(n - 1) * n + j] = 0.0;
    }
    v[n * n - 1] = 1.0;
    e[0] = 0.0;
}

/// Multiplies the reflections.
fn accumulate(v: &mut [f64], d: &mut [f64], n: usize) {
    let mut sums = vec![0f64; n];
    for i in 0..n - 1 {
        v[(n - 1) * n + i] = v[i * n + i];
        v[i * n + i] = 1.0;
        let h = d[i + 1];
        if h != 0.0 {
            for k in 0..=i {
                d[k] = v[k * n + i + 1] / h;
            }
            let sums = &mut sums[..=i];
            sums.fill(0.0);
            for k in 0..=i {
                let factor = v[k * n + i + 1];
                sums.iter_mut().zip(&v[k * n..]).for_each(|(sum, entry)| *sum += factor * entry);
            }
            for k in 0..=i {
                let factor = d[k];
                v[k * n..].iter_mut().zip(&*sums).for_each(|(entry, sum)| *entry -= factor * sum);
            }
        }
        for k in 0..=i {
            v[k * n + i + 1] = 0.0;
        }
    }
}

/// Eigenvalues in `d` and eigenvectors in the rows of `z`, from the transpose of what [`tridiagonal`] left.
fn diagonalise(z: &mut [f64], d: &mut [f64], e: &mut [f64]) -> Option<()> {
    let n = d.len();
    e.copy_within(1.., 0);
    e[n - 1] = 0.0;
    let (mut f, mut largest) = (0.0, 0f64);
    for l in 0..n {
        largest = largest.max(d[l].abs() + e[l].abs());
        let m = (l..n).find(|&m| e[m].abs() <= f64::EPSILON * largest).unwrap_or(n - 1);
        for step in 0.. {
            if m == l || step > 0 && e[l].abs() <= f64::EPSILON * largest {
                break;
            }
            if step == STEPS {
                return None;
            }
            f += ql_step(z, d, e, l, m);
        }
        d[l] += f;
        e[l] = 0.0;
    }
    Some(())
}

/// One implicit step on rows `l..=m`; returns the shift.
fn ql_step(z: &mut [f64], d: &mut [f64], e: &mut [f64], l: usize, m: usize) -> f64 {
    let n = d.len();
    let length = |a: f64, b: f64| (a * a + b * b).sqrt();
    let g = d[l];
    let p = (d[l + 1] - g) / (2.0 * e[l]);
    let r = if p < 0.0 { -length(p, 1.0) } else { length(p, 1.0) };
    d[l] = e[l] / (p + r);
    d[l + 1] = e[l] * (p + r);
    let next = d[l + 1];
    let shift = g - d[l];
    d[l + 2..].iter_mut().for_each(|x| *x -= shift);
    let (mut p, el1) = (d[m], e[l + 1]);
    let (mut c, mut c2, mut c3) = (1.0, 1.0, 1.0);
    let (mut s, mut s2) = (0.0, 0.0);
    for i in (l..m).rev() {
        (c3, c2, s2) = (c2, c, s);
        let g = c * e[i];
        let h = c * p;
        let r = length(p, e[i]);
        e[i + 1] = s * r;
        s = e[i] / r;
        c = p / r;
        p = c * d[i] - s * g;
        d[i + 1] = h + s * (c * g + s * d[i]);
        let (low, high) = z.split_at_mut((i + 1) * n);
        for (a, b) in low[i * n..].iter_mut().zip(&mut high[..n]) {
            let h = *b;
            *b = s * *a + c * h;
            *a = c * *a - s * h;
        }
    }
    p = -s * s2 * c3 * el1 * e[l] / next;
    e[l] = s * p;
    d[l] = c * p;
    shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_along_principal_directions_are_uncorrelated() {
        for (rows, columns) in [(30, 1), (40, 2), (100, 17), (9, 24), (300, 60)] {
            let mut state = 7u32;
            let mut noise = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            };
            let mut values = vec![0f32; rows * columns];
            for row in values.chunks_exact_mut(columns) {
                let mut last = 0.0;
                for value in row {
                    last = 0.9 * last + noise();
                    *value = last;
                }
            }
            let directions = principal(&values, columns).unwrap();
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            let along = |at: usize| -> Vec<f32> {
                values
                    .chunks_exact(columns)
                    .map(|row| dot(row, &directions[at * columns..][..columns]) as f32)
                    .collect()
            };
            let power = dot(&values, &values);
            let mut last = f64::INFINITY;
            for i in 0..columns {
                let own = along(i);
                assert!(dot(&own, &own) <= last * 1.0001 + 1e-6 * power, "{columns}: {i}");
                last = dot(&own, &own);
                for j in 0..=i {
                    let (a, b) = (&directions[i * columns..][..columns], &directions[j * columns..][..columns]);
                    let unit = if i == j { 1.0 } else { 0.0 };
                    assert!((dot(a, b) - unit).abs() < 1e-5, "{columns}: {i} {j}");
                    assert!(i == j || dot(&own, &along(j)).abs() < 1e-5 * power, "{columns}: {i} {j}");
                }
            }
        }
        // Rows that are all alike, and zeros.
        assert!(principal(&[1.0; 50], 5).unwrap()[..5].iter().all(|v| (v.abs() - 0.2f32.sqrt()).abs() < 1e-6));
        assert_eq!(principal(&[0.0; 12], 3).unwrap().len(), 9);
    }
}
