//! Bars and lines as SVG. Colours are classes, so that the page decides them.

use super::escape;
use crate::record::amount;

/// A horizontal bar.
pub(super) struct PlotBar<'a> {
    pub(super) name: &'a str,
    pub(super) value: f64,
    pub(super) ours: bool,
}

/// Points joined by a line.
pub(super) struct PlotLine<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

/// What lines are drawn on.
pub(super) struct PlotAxes<'a> {
    /// What is counted upwards.
    pub(super) unit: &'a str,
    pub(super) up: AxisScale,
    /// What is counted across.
    pub(super) name: &'a str,
    pub(super) across: AxisScale,
    /// Places to name across.
    pub(super) ticks: Vec<(f64, String)>,
}

/// How numbers become distances.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AxisScale {
    /// From zero.
    Even,
    /// By powers, as far as there are values.
    Powers,
}

const WIDTH: f64 = 420.0;
const LINE_COLOURS: usize = 6;

/// Bars from zero, each with its number behind, and with its name in front or, if it is long,
/// above.
pub(super) fn bars(title: &str, hint: &str, unit: &str, bars: &[PlotBar<'_>]) -> String {
    const NUMBER: f64 = 92.0;
    // A wide character of the page's font.
    const CHAR: f64 = 7.7;
    const NAME_MOST: usize = 14;
    let longest = bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or(0);
    let (left, step) = if longest <= NAME_MOST {
        (f64::from(u32::try_from(longest).expect("names are short")) * CHAR + 8.0, 26.0)
    } else {
        (0.0, 40.0)
    };
    let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = String::new();
    let mut y = 0.0;
    for bar in bars {
        let length = (bar.value / most * (WIDTH - left - NUMBER)).max(1.0);
        let (class, bottom) = (if bar.ours { 0 } else { 1 }, y + step - 4.0);
        let (x, baseline, anchor) =
            if left > 0.0 { (left - 6.0, bottom - 5.0, "end") } else { (0.0, y + 13.0, "start") };
        svg += &format!(
            "<text x=\"{x:.0}\" y=\"{baseline:.0}\" text-anchor=\"{anchor}\">{}</text>\
             <rect class=\"bar-{class}\" x=\"{left:.0}\" y=\"{:.0}\" width=\"{length:.1}\" \
             height=\"18\" rx=\"2\"/><text x=\"{:.1}\" y=\"{:.0}\">{}</text>\n",
            escape(bar.name),
            bottom - 18.0,
            left + length + 6.0,
            bottom - 5.0,
            amount(bar.value, unit)
        );
        y += step;
    }
    let caption = PlotCaption { title, hint, legend: String::new() };
    figure(&caption, "", y, &svg)
}

/// Lines over a grid; nothing if no line has two points.
pub(super) fn lines(
    title: &str,
    hint: &str,
    axes: &PlotAxes<'_>,
    lines: &[PlotLine<'_>],
) -> String {
    const LEFT: f64 = 78.0;
    const RIGHT: f64 = WIDTH - 24.0;
    const TOP: f64 = 12.0;
    const BOTTOM: f64 = 200.0;
    if lines.iter().all(|line| line.points.len() < 2) {
        return String::new();
    }
    let points = || lines.iter().flat_map(|line| &line.points);
    let across = AxisRange::of(axes.across, points().map(|(x, _)| *x));
    let up = AxisRange::of(axes.up, points().map(|(_, y)| *y));
    let x = |value: f64| LEFT + across.share(value) * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - up.share(value) * (BOTTOM - TOP);
    let mut svg = String::new();
    for value in up.ticks() {
        let height = y(value);
        svg += &format!(
            "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{height:.1}\" \
             y2=\"{height:.1}\"/><text class=\"faint\" x=\"{:.0}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>\n",
            LEFT - 6.0,
            height + 4.0,
            tick(value, axes.unit)
        );
    }
    let mut free_from = f64::NEG_INFINITY;
    for (value, label) in &axes.ticks {
        let (at, room) = (x(*value), 8.0 * f64::from(u32::try_from(label.len()).unwrap_or(9)));
        if at - room / 2.0 >= free_from {
            svg += &format!(
                "<text class=\"faint\" x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
                BOTTOM + 18.0,
                escape(label)
            );
            free_from = at + room / 2.0;
        }
    }
    svg += &format!(
        "<text class=\"faint\" x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\n",
        f64::midpoint(LEFT, RIGHT),
        BOTTOM + 37.0,
        escape(axes.name)
    );
    for (index, line) in lines.iter().enumerate() {
        let class = index % LINE_COLOURS;
        let place = |(px, py): &(f64, f64)| format!("{:.1},{:.1}", x(*px), y(*py));
        let path: Vec<String> = line.points.iter().map(place).collect();
        svg += &format!("<polyline class=\"line-{class}\" points=\"{}\"/>", path.join(" "));
        // Dots say where was measured; of many, the line says enough.
        for (px, py) in line.points.iter().filter(|_| line.points.len() <= 20) {
            let at = format!("{} {}", tick(*px, ""), axes.name);
            let said = format!("{}: {} at {at}", line.name, amount(*py, axes.unit));
            svg += &format!(
                "<circle class=\"dot-{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{}</title>\
                 </circle>",
                x(*px),
                y(*py),
                escape(&said)
            );
        }
        svg += "\n";
    }
    // Many lines need room.
    let class = if lines.len() > 3 { "large" } else { "" };
    figure(&PlotCaption { title, hint, legend: legend(lines) }, class, BOTTOM + 43.0, &svg)
}

/// The values an axis spans.
struct AxisRange {
    scale: AxisScale,
    low: f64,
    high: f64,
}

impl AxisRange {
    fn of(scale: AxisScale, values: impl Iterator<Item = f64> + Clone) -> AxisRange {
        let high = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        match scale {
            AxisScale::Even => AxisRange { scale, low: 0.0, high },
            AxisScale::Powers => {
                // What is zero has no place among powers and stands at the lower edge.
                let above = values.filter(|value| *value > 0.0);
                let low = above.fold(f64::INFINITY, f64::min).min(high);
                // With some air, so that no point lies on an edge.
                AxisRange { scale, low: low / 1.2, high: high * 1.2 }
            }
        }
    }

    /// Where a value lies, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let share = match self.scale {
            AxisScale::Even => value / self.high,
            AxisScale::Powers => {
                (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
            }
        };
        share.clamp(0.0, 1.0)
    }

    /// Round values to draw a line at, few enough to tell them apart.
    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            AxisScale::Even => {
                let step = round(self.high / 4.0);
                (0..).map(|i| f64::from(i) * step).take_while(|value| *value <= self.high).collect()
            }
            AxisScale::Powers => {
                let decades = (self.high / self.low).log10();
                let factors: &[f64] = match decades {
                    ..1.5 => &[1.0, 2.0, 5.0],
                    ..3.0 => &[1.0, 3.0],
                    _ => &[1.0],
                };
                let powers = (-9..=12).map(|power| 10_f64.powi(power));
                let all = powers.flat_map(|power| factors.iter().map(move |f| f * power));
                all.filter(|value| (self.low..=self.high).contains(value)).collect()
            }
        }
    }
}

/// The next of 1, 2, 5, 10 and so on.
fn round(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= value);
    factor.unwrap_or(10.0) * power
}

/// Round values up to the largest of these, to name across.
pub(super) fn even_ticks(values: impl Iterator<Item = f64> + Clone) -> Vec<(f64, String)> {
    let ticks = AxisRange::of(AxisScale::Even, values).ticks();
    ticks.into_iter().map(|value| (value, tick(value, ""))).collect()
}

/// A round number without the zeros that say nothing.
pub(super) fn tick(value: f64, unit: &str) -> String {
    let text = amount(value, unit);
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    };
    format!("{number}{}", rest.trim_end())
}

/// Which line is which, where there is more than one.
fn legend(lines: &[PlotLine<'_>]) -> String {
    if lines.len() < 2 {
        return String::new();
    }
    let entry = |(index, line): (usize, &PlotLine<'_>)| {
        format!("<span class=\"key-{}\">{}</span>\n", index % LINE_COLOURS, escape(line.name))
    };
    let entries: String = lines.iter().enumerate().map(entry).collect();
    format!("<p class=\"legend\">{entries}</p>\n")
}

/// What stands above a plot.
struct PlotCaption<'a> {
    title: &'a str,
    /// How to read it.
    hint: &'a str,
    legend: String,
}

fn figure(caption: &PlotCaption<'_>, class: &str, height: f64, svg: &str) -> String {
    let PlotCaption { title, hint, legend } = caption;
    let (title, hint) = (escape(title), escape(hint));
    format!(
        "<figure class=\"{class}\"><figcaption>{title} <span>{hint}</span></figcaption>\n{legend}\
         <svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-label=\"{title}\">\n{svg}\
         </svg></figure>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_numbers_are_found_and_written_short() {
        assert_eq!([round(0.3), round(7.0), round(120.0)], [0.5, 10.0, 200.0]);
        assert_eq!(tick(5e6, "op/s"), "5M op/s");
        assert_eq!(tick(20_000.0, "µs/round"), "20 ms/round");
        assert_eq!([tick(0.0, ""), tick(100.0, ""), tick(0.5, "s")], ["0", "100", "0.5 s"]);
    }

    #[test]
    fn ticks_lie_within_the_values() {
        let even = AxisRange::of(AxisScale::Even, [3.0, 9.0].into_iter());
        assert_eq!(even.ticks(), [0.0, 5.0]);
        assert_eq!([even.share(0.0), even.share(9.0)], [0.0, 1.0]);
        let powers = AxisRange::of(AxisScale::Powers, [0.0, 3.0, 4_000.0].into_iter());
        assert_eq!(powers.ticks(), [10.0, 100.0, 1_000.0]);
        assert_eq!([powers.share(0.0), powers.share(4_800.0)], [0.0, 1.0]);
        assert!(powers.share(3.0) > 0.0 && powers.share(3.0) < powers.share(4.0));
    }
}
