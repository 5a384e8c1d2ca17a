#pragma once

#include "ssa/data/vocabulary.h"

#include "apps/scored.h"
#include "apps/term_losses.h"

namespace ssa {

/// A text to score that is no part of a data set.
struct GivenText {
  std::string name;  ///< of the file, or "standard input"
  std::string path;  ///< absolute; empty for standard input
  std::string text;
  std::vector<int32_t> tokens;
  int64_t unknown = 0;  ///< words that are not in the vocabulary

  DataIdentity identity(const std::string& vocabulary_checksum) const;
};

/// Reads the file at rank 0 ("-": standard input), and gives it to all ranks. Throws DataError for
/// a file that cannot be read, and for an empty text.
GivenText read_text(Communicator& ranks, const std::string& path);
/// Sets the tokens, and counts unknown words.
void encode(GivenText& text, const Vocabulary& vocabulary);

/// The losses of a line of the text, its end included.
struct LineScore {
  std::string text;
  int64_t tokens = 0;
  double nats = 0;
};
std::vector<LineScore> scores_of_lines(const GivenText& text, const TermLosses& losses,
                                       const Vocabulary& vocabulary);

/// What to_json(scored) has not: the text, its total, and its lines.
nlohmann::json to_json(const GivenText& text, const Scored& scored,
                       const std::vector<LineScore>& lines);
/// Prints the score of the text, and of each of `lines`.
void print(const GivenText& text, const Scored& scored, const std::vector<LineScore>& lines);

}  // namespace ssa
