//! A plotters drawing area with axes, legends and hover texts.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::format::{escape_markup, shorten};
use crate::style::{GRID, INK, MUTED, Mark, PAPER, Shape, chart_rules, dark_rules};

/// Width of a letter over its height: a generous mean over letters of a sans-serif face.
const LETTER: f64 = 0.56;

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Anchor {
    /// The text starts there.
    Start,
    /// The text is centred there.
    Middle,
    /// The text ends there.
    End,
}

/// A picture being drawn. Drawing into a string cannot fail, so failures of single elements are dropped.
pub(crate) struct Canvas<'a, 'b> {
    area: &'b DrawingArea<SVGBackend<'a>, Shift>,
    /// Raw elements below everything drawn.
    under: String,
    /// Raw elements above it.
    tips: String,
}

/// Draws a picture; `title` is what a screen reader says.
pub(crate) fn draw(width: u32, height: u32, title: &str, paint: impl FnOnce(&mut Canvas)) -> String {
    let mut svg = String::new();
    let (under, tips) = {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        let _ = area.fill(&PAPER);
        let mut canvas = Canvas { area: &area, under: String::new(), tips: String::new() };
        paint(&mut canvas);
        let layers = (canvas.under, canvas.tips);
        let _ = area.present();
        layers
    };
    let body = svg.trim_end().strip_suffix("</svg>").unwrap_or(&svg).to_owned();
    let body = body.replacen("<svg ", "<svg role=\"img\" ", 1);
    let head = body.find('>').map_or(0, |place| place + 1);
    // The first element is the paper; what lies under the picture lies on it.
    let paper = body[head..].find("/>").map_or(head, |place| head + place + 2);
    let title = escape_markup(title);
    format!("{}<title>{title}</title>{}\n{under}{}{tips}</svg>\n", &body[..head], &body[head..paper], &body[paper..])
}

/// A picture as a file of its own, which follows the system's theme.
pub(crate) fn standalone(svg: &str) -> String {
    let style =
        format!("<style>{}@media(prefers-color-scheme:dark){{{}}}</style>", chart_rules("svg"), dark_rules("svg", svg));
    let head = svg.find('>').map_or(0, |place| place + 1);
    format!("{}{style}{}", &svg[..head], &svg[head..])
}

impl Canvas<'_, '_> {
    /// A polyline.
    pub(crate) fn line(&self, points: &[(i32, i32)], colour: RGBColor, width: u32) {
        let _ = self.area.draw(&PathElement::new(points.to_vec(), colour.stroke_width(width)));
    }

    /// A dashed line, below everything else: the backend knows no dashes, and short strokes on whole pixels look ragged.
    pub(crate) fn dashed(&mut self, from: (i32, i32), to: (i32, i32), colour: RGBColor, width: u32) {
        let RGBColor(red, green, blue) = colour;
        self.under += &format!(
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"#{red:02X}{green:02X}{blue:02X}\" stroke-width=\"{width}\" \
             stroke-dasharray=\"6 4\"/>\n",
            from.0, from.1, to.0, to.1
        );
    }

    /// A filled rectangle.
    pub(crate) fn bar(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor, alpha: f64) {
        let _ = self.area.draw(&Rectangle::new([from, to], colour.mix(alpha).filled()));
    }

    /// A text, vertically centred on its point.
    pub(crate) fn text(&self, text: &str, at: (i32, i32), anchor: Anchor, size: f64, colour: RGBColor) {
        self.place(text, at, anchor, size, colour, FontTransform::None);
    }

    /// A text that reads upwards.
    pub(crate) fn upward(&self, text: &str, at: (i32, i32), anchor: Anchor, size: f64, colour: RGBColor) {
        self.place(text, at, anchor, size, colour, FontTransform::Rotate270);
    }

    fn place(&self, text: &str, at: (i32, i32), anchor: Anchor, size: f64, colour: RGBColor, turn: FontTransform) {
        let horizontal = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        // The backend divides sizes by 1.24.
        let font = ("sans-serif", size * 1.24).into_font().transform(turn);
        let style = font.color(&colour).pos(Pos::new(horizontal, VPos::Center));
        let _ = self.area.draw_text(text, &style, at);
    }

    /// A point of a series.
    pub(crate) fn mark(&self, mark: Mark, (x, y): (i32, i32), radius: i32) {
        let fill = if mark.hollow { PAPER } else { mark.colour };
        if mark.shape == Shape::Circle {
            let _ = self.area.draw(&Circle::new((x, y), radius, fill.filled()));
            let outline = if mark.hollow { mark.colour } else { PAPER };
            let _ = self.area.draw(&Circle::new((x, y), radius, outline.stroke_width(if mark.hollow { 2 } else { 1 })));
            return;
        }
        let mut corners: Vec<(i32, i32)> =
            outline(mark.shape, radius).into_iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        let _ = self.area.draw(&Polygon::new(corners.clone(), fill.filled()));
        corners.extend(corners.first().copied());
        let (colour, width) = if mark.hollow { (mark.colour, 2) } else { (PAPER, 1) };
        self.line(&corners, colour, width);
    }

    /// A ring around a point.
    pub(crate) fn ring(&self, at: (i32, i32), radius: i32) {
        let _ = self.area.draw(&Circle::new(at, radius, INK.stroke_width(1)));
    }

    /// What a pointer resting near a point is told.
    pub(crate) fn tip(&mut self, (x, y): (i32, i32), text: &str) {
        let text = escape_markup(text);
        self.tips +=
            &format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"9\" fill-opacity=\"0\"><title>{text}</title></circle>\n");
    }

    /// A legend in columns from `top` on.
    pub(crate) fn legend(&self, top: i32, width: i32, entries: &[(Mark, String)]) {
        let columns = legend_columns(width, entries);
        for (index, (mark, name)) in entries.iter().enumerate() {
            let x = 24 + (index as i32 % columns) * ((width - 24) / columns);
            let y = top + 12 + (index as i32 / columns) * 21;
            self.mark(*mark, (x, y), 6);
            self.text(&shorten(name, 40), (x + 13, y), Anchor::Start, 13.0, INK);
        }
    }
}

fn legend_columns(width: i32, entries: &[(Mark, String)]) -> i32 {
    let longest = entries.iter().map(|(_, name)| name.chars().count().min(40)).max().unwrap_or(1) as i32;
    ((width - 24) / (longest * 8 + 34)).clamp(1, 5)
}

/// Height of a legend.
pub(crate) fn legend_height(width: i32, entries: &[(Mark, String)]) -> i32 {
    let columns = legend_columns(width, entries);
    (entries.len() as i32 + columns - 1) / columns * 21 + 14
}

fn outline(shape: Shape, radius: i32) -> Vec<(i32, i32)> {
    let r = f64::from(radius);
    let scaled = |corners: &[(f64, f64)]| -> Vec<(i32, i32)> {
        corners.iter().map(|&(x, y)| ((x * r).round() as i32, (y * r).round() as i32)).collect()
    };
    match shape {
        Shape::Circle | Shape::Square => scaled(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        Shape::Up => scaled(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]),
        Shape::Down => scaled(&[(0.0, 1.2), (-1.1, -0.8), (1.1, -0.8)]),
        Shape::Diamond => scaled(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]),
        Shape::Plus => {
            let (t, e) = (0.4, 1.2);
            scaled(&[
                (-t, -e),
                (t, -e),
                (t, -t),
                (e, -t),
                (e, t),
                (t, t),
                (t, e),
                (-t, e),
                (-t, t),
                (-e, t),
                (-e, -t),
                (-t, -t),
            ])
        }
        Shape::Star => {
            let corner = |index: u32| {
                let angle = f64::from(index) * std::f64::consts::PI / 5.0;
                let reach = if index.is_multiple_of(2) { 1.4 } else { 0.6 };
                (angle.sin() * reach, -angle.cos() * reach)
            };
            scaled(&(0..10).map(corner).collect::<Vec<_>>())
        }
    }
}

/// An axis from `low` to `high`.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    title: String,
    print: fn(f64) -> String,
}

impl Axis {
    /// A linear axis.
    pub(crate) fn linear(low: f64, high: f64, title: &str, print: fn(f64) -> String) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, log: false, title: title.to_owned(), print }
    }

    /// A logarithmic axis.
    pub(crate) fn log(low: f64, high: f64, title: &str, print: fn(f64) -> String) -> Self {
        let low = low.max(1e-12);
        let high = if high > low * 1.01 { high } else { low * 10.0 };
        Self { low, high, log: true, title: title.to_owned(), print }
    }

    /// Where a value lies, 0 to 1 inside the axis.
    pub(crate) fn place(&self, value: f64) -> f64 {
        if self.log {
            (value.max(1e-300) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let decades = (self.high / self.low).log10();
            let steps: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
            let all = (first..=last).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
            return all.filter(|tick| (self.low * 0.999..=self.high * 1.001).contains(tick)).collect();
        }
        let raw = (self.high - self.low) / 7.0;
        let unit = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|step| step * unit >= raw).unwrap_or(10.0) * unit;
        let first = (self.low / step).ceil() as i64;
        (0..24).map(|n| (first + n) as f64 * step).take_while(|tick| *tick <= self.high + step * 1e-6).collect()
    }
}

/// The rectangle between two axes.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// Left edge.
    pub left: i32,
    /// Top edge.
    pub top: i32,
    /// Right edge.
    pub right: i32,
    /// Bottom edge.
    pub bottom: i32,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
}

impl Frame {
    /// Where a point is drawn; beyond an axis it is drawn at its end.
    pub(crate) fn at(&self, x: f64, y: f64) -> (i32, i32) {
        (self.across(x), {
            let place = self.y.place(y).clamp(0.0, 1.0);
            self.bottom - (f64::from(self.bottom - self.top) * place).round() as i32
        })
    }

    /// Where a value of the horizontal axis is drawn.
    pub(crate) fn across(&self, x: f64) -> i32 {
        self.left + (f64::from(self.right - self.left) * self.x.place(x).clamp(0.0, 1.0)).round() as i32
    }

    /// The horizontal axis with its grid.
    pub(crate) fn draw_x(&self, canvas: &Canvas) {
        for tick in self.x.ticks() {
            let x = self.across(tick);
            canvas.line(&[(x, self.top), (x, self.bottom)], GRID, 1);
            canvas.text(&(self.x.print)(tick), (x, self.bottom + 15), Anchor::Middle, 13.0, MUTED);
        }
        let middle = (self.left + self.right) / 2;
        canvas.text(&self.x.title, (middle, self.bottom + 37), Anchor::Middle, 14.0, INK);
    }

    /// Both axes with their grids.
    pub(crate) fn draw(&self, canvas: &Canvas) {
        self.draw_x(canvas);
        for tick in self.y.ticks() {
            let (_, y) = self.at(self.x.low, tick);
            canvas.line(&[(self.left, y), (self.right, y)], GRID, 1);
            canvas.text(&(self.y.print)(tick), (self.left - 8, y), Anchor::End, 13.0, MUTED);
        }
        // A title longer than its axis is set smaller, not cut.
        let room = f64::from(self.bottom - self.top) / (self.y.title.chars().count().max(1) as f64 * LETTER);
        let size = room.clamp(9.0, 14.0);
        canvas.upward(&self.y.title, (16, (self.top + self.bottom) / 2), Anchor::Middle, size, INK);
        let corners = [(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)];
        canvas.line(&corners, MUTED, 1);
    }
}
