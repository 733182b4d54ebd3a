//! The Mandelbrot set: a parallel loop whose workers take row numbers from a counter and put the
//! rows into a map.
//!
//! `cargo run -p catena-client --example mandelbrot [HOST:PORT]`; without an address it
//! starts an engine.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

mod common;

use catena_client::Error;
use common::{ExampleEngine, in_threads};

const WORKERS: u32 = 4;
const ROWS: u32 = 24;
const COLUMNS: u32 = 72;
const STEPS: u8 = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = ExampleEngine::find()?;
    let client = engine.client()?;
    client.delete_prefix("example/mandelbrot/")?;

    in_threads(WORKERS, |_| -> Result<(), Error> {
        let client = engine.client()?;
        let (next, image) =
            (client.counter("example/mandelbrot/next"), client.map("example/mandelbrot/image"));
        while let Ok(row) = u32::try_from(next.fetch_add(1)?)
            && row < ROWS
        {
            // Big-endian keys keep the rows in order.
            image.put(row.to_be_bytes(), line(row))?;
        }
        Ok(())
    })?;

    let image = client.map("example/mandelbrot/image");
    for (row, entry) in (0..).zip(image.entries()) {
        let (key, value) = entry?;
        assert_eq!(key, u32::to_be_bytes(row), "rows come in order, each once");
        assert_eq!(value, line(row), "row {row}");
        println!("{}", value.iter().map(|steps| shade(*steps)).collect::<String>());
    }
    assert_eq!(image.len()?, u64::from(ROWS), "every row was drawn");
    client.delete_prefix("example/mandelbrot/")?;
    Ok(())
}

/// The number of steps until each point of a row diverges.
fn line(row: u32) -> Vec<u8> {
    (0..COLUMNS)
        .map(|column| steps(place(column, COLUMNS, 3.0, -2.2), place(row, ROWS, 2.4, -1.2)))
        .collect()
}

fn place(at: u32, of: u32, width: f64, from: f64) -> f64 {
    from + width * (f64::from(at) + 0.5) / f64::from(of)
}

fn steps(x: f64, y: f64) -> u8 {
    let (mut a, mut b) = (0.0, 0.0);
    for step in 0..STEPS {
        (a, b) = (a * a - b * b + x, 2.0 * a * b + y);
        if a * a + b * b > 4.0 {
            return step;
        }
    }
    STEPS
}

fn shade(steps: u8) -> char {
    match steps {
        STEPS.. => '#',
        12.. => '*',
        6.. => '+',
        4.. => '.',
        _ => ' ',
    }
}
