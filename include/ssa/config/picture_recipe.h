#pragma once

#include "ssa/config/field.h"

namespace ssa {

// Sections of `data`: what a training picture of image_classification goes through
// (ssa/data/image_transform.h, mixing.h). The defaults are the published values of Swin.

/// The part of a picture that is trained on, as torchvision's RandomResizedCrop draws it.
struct CropConfig {
  double min_area = 0.08;
  double max_area = 1.0;
  double min_ratio = 0.75;
  double max_ratio = 4.0 / 3.0;

  template <class V>
  void fields(V& v) {
    v.field("min_area", min_area, fraction(), "The smallest part of the picture's area.");
    v.field("max_area", max_area, fraction(), "The largest.");
    v.field("min_ratio", min_ratio, above(0), "The smallest width / height.");
    v.field("max_ratio", max_ratio, above(0), "The largest.");
  }
  bool operator==(const CropConfig&) const = default;
};

struct RandAugmentConfig {
  int64_t operations = 2;
  double probability = 0.5;
  double magnitude = 9.0;
  double magnitude_std = 0.5;

  template <class V>
  void fields(V& v) {
    v.field("operations", operations, between(0, 100),
            "Operations drawn for each picture. 0: no RandAugment.");
    v.field("probability", probability, between(0, 1), "That a drawn operation is applied.");
    v.field("magnitude", magnitude, between(0, 10), "How strong an operation is.");
    v.field("magnitude_std", magnitude_std, at_least(0), "Standard deviation of the magnitude.");
  }
  bool operator==(const RandAugmentConfig&) const = default;
};

struct ErasingConfig {
  double probability = 0.25;
  double min_area = 0.02;
  double max_area = 1.0 / 3.0;

  template <class V>
  void fields(V& v) {
    v.field("probability", probability, between(0, 1), "That a picture loses a rectangle.");
    v.field("min_area", min_area, fraction(), "The smallest part of the picture's area.");
    v.field("max_area", max_area, fraction(), "The largest.");
  }
  bool operator==(const ErasingConfig&) const = default;
};

struct MixingConfig {
  double probability = 1.0;
  double mixup_alpha = 0.8;
  double cutmix_alpha = 1.0;
  double switch_probability = 0.5;

  template <class V>
  void fields(V& v) {
    v.field("probability", probability, between(0, 1), "That the pictures of a step are mixed.");
    v.field("mixup_alpha", mixup_alpha, at_least(0),
            "Mixup (Zhang et al. 2018): the share of a picture is drawn from Beta(α, α). 0: none.");
    v.field("cutmix_alpha", cutmix_alpha, at_least(0),
            "CutMix (Yun et al. 2019): the same for the area that is kept. 0: none.");
    v.field("switch_probability", switch_probability, between(0, 1),
            "Of CutMix, where both have an α.");
  }
  bool operator==(const MixingConfig&) const = default;
};

}  // namespace ssa
