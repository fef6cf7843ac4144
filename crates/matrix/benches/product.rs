//! Products as a language model makes them, beside `matrixmultiply`, whose order of summation depends on the machine.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seedpress_matrix::{View, add_product};

fn products(c: &mut Criterion) {
    for (rows, inner, columns) in [(1024, 576, 1536), (1024, 1536, 576), (256, 128, 256), (64, 64, 1024)] {
        let noise = |count: usize| (0..count).map(|i| (i * 7919 % 1013) as f32 / 1013.0 - 0.5).collect::<Vec<f32>>();
        let (x, w, mut y) = (noise(rows * inner), noise(columns * inner), vec![0f32; rows * columns]);
        let mut group = c.benchmark_group(format!("{rows}x{inner} by {inner}x{columns} transposed"));
        group.throughput(Throughput::Elements(2 * (rows * inner * columns) as u64));
        group.bench_function("own", |b| {
            b.iter(|| add_product(black_box(&mut y), columns, View::new(&x, inner), View::new(&w, inner).t()));
        });
        group.bench_function("matrixmultiply", |b| {
            b.iter(|| {
                let (x, w, y) = (x.as_ptr(), w.as_ptr(), black_box(&mut y).as_mut_ptr());
                #[allow(unsafe_code)]
                // SAFETY: the slices hold matrices of these shapes.
                unsafe {
                    let (inner_, columns_) = (inner as isize, columns as isize);
                    matrixmultiply::sgemm(rows, inner, columns, 1.0, x, inner_, 1, w, 1, inner_, 1.0, y, columns_, 1);
                }
            });
        });
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
