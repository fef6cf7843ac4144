//! Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 28x28 grey images of clothes in ten classes, 60,000 to train on, 10,000 held out.
//!
//! Committed are the held-out images and the first 2,048 training images, which serve for calibration. The rest of the training
//! images is only needed to train, and comes from Debian's package `dataset-fashion-mnist`.

mod convolution;
mod data;
mod evaluate;
mod network;

pub use data::{CALIBRATION_IMAGES, Images, PIXELS};
pub(crate) use evaluate::Fashion;
pub use network::{Classifier, ClassifierNetwork, images};
