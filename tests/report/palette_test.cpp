// The colours of runs, as readers see them who lack one kind of cones.

#include <array>
#include <cmath>

#include <catch2/catch.hpp>

#include "report/report_test_support.h"
#include "report/style.h"

using namespace ssa::report;

namespace {

using Color = std::array<double, 3>;
using Matrix = std::array<Color, 3>;

/// What a reader sees of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
struct Reader {
  const char* name;
  Matrix matrix;
};
constexpr std::array<Reader, 4> kReaders = {
    {{"with all cones", {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}},
     {"protanopia",
      {{{0.152286, 1.052583, -0.204868},
        {0.114503, 0.786281, 0.099216},
        {-0.003882, -0.048116, 1.051998}}}},
     {"deuteranopia",
      {{{0.367322, 0.860646, -0.227968},
        {0.280085, 0.672501, 0.047413},
        {-0.011820, 0.042940, 0.968881}}}},
     {"tritanopia",
      {{{1.255528, -0.076749, -0.178779},
        {-0.078411, 0.930809, 0.147602},
        {0.004733, 0.691367, 0.303900}}}}}};

Color times(const Matrix& matrix, const Color& color) {
  Color result{};
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j) result[i] += matrix[i][j] * color[j];
  }
  return result;
}

/// Linear RGB of "#2495da".
Color linear(const std::string& hex) {
  Color color{};
  for (size_t i = 0; i < 3; ++i) {
    const double part = std::stoi(hex.substr(1 + 2 * i, 2), nullptr, 16) / 255.0;
    color[i] = part <= 0.04045 ? part / 12.92 : std::pow((part + 0.055) / 1.055, 2.4);
  }
  return color;
}

/// The contrast of WCAG 2.
double contrast(const Color& a, const Color& b) {
  const auto luminance = [](const Color& color) {
    return 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2];
  };
  const double x = luminance(a), y = luminance(b);
  return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

/// Oklab (Ottosson 2020), in which distances are alike to the eye.
Color oklab(const Color& color) {
  constexpr Matrix kCones = {{{0.4122214708, 0.5363325363, 0.0514459929},
                              {0.2119034982, 0.6806995451, 0.1073969566},
                              {0.0883024619, 0.2817188376, 0.6299787005}}};
  constexpr Matrix kLab = {{{0.2104542553, 0.7936177850, -0.0040720468},
                            {1.9779984951, -2.4285922050, 0.4505937099},
                            {0.0259040371, 0.7827717662, -0.8086757660}}};
  Color seen = color;
  for (double& part : seen) part = std::clamp(part, 0.0, 1.0);
  seen = times(kCones, seen);
  for (double& part : seen) part = std::cbrt(part);
  return times(kLab, seen);
}

double distance(const Color& a, const Color& b) {
  double sum = 0;
  for (size_t i = 0; i < 3; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

/// The value of a variable in the style sheet: the first is the light page's, the second the dark
/// one's.
std::string variable(const std::string& name, int which) {
  const std::string sheet(style_sheet());
  size_t at = 0;
  for (int i = 0; i <= which; ++i) at = sheet.find("--" + name + ": ", at) + name.size() + 4;
  return sheet.substr(at, 7);
}

}  // namespace

TEST_CASE("the colours of runs stand out from the page and from each other for all readers") {
  for (const int page : {0, 1}) {
    const Color background = linear(variable("page", page));
    std::vector<Color> colors;
    for (int i = 0; i < 8; ++i) {
      CAPTURE(page, i);
      colors.push_back(linear(variable("s" + std::to_string(i), page)));
      CHECK(contrast(colors.back(), background) >= 3);
    }
    for (const Reader& reader : kReaders) {
      for (size_t i = 0; i < colors.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
          CAPTURE(page, reader.name, i, j);
          CHECK(distance(oklab(times(reader.matrix, colors[i])),
                         oklab(times(reader.matrix, colors[j]))) >= 0.085);
        }
      }
    }
  }
}
