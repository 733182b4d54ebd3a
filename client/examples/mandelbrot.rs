//! The Mandelbrot set: a parallel loop whose workers take row after row from a counter and put each
//! into a map.
//!
//! `cargo run -p catena-client --example mandelbrot [HOST:PORT]`; without an address it starts an
//! engine of its own.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod common;

use catena_client::Error;
use common::{Place, together};

const WORKERS: u32 = 4;
const ROWS: u32 = 24;
const COLUMNS: u32 = 72;
const STEPS: u8 = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = Place::find()?;
    let client = place.client()?;
    client.delete_prefix("example/mandelbrot/")?;

    together(WORKERS, |_| -> Result<(), Error> {
        let client = place.client()?;
        let (next, image) =
            (client.counter("example/mandelbrot/next"), client.map("example/mandelbrot/image"));
        while let Ok(row) = u32::try_from(next.fetch_add(1)?)
            && row < ROWS
        {
            // Big-endian, so that the map has the rows in their order.
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

/// How many steps each point of a row takes to leave.
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
