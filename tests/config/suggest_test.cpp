#include "config/suggest.h"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "ssa/config/config.h"

using namespace ssa;

TEST_CASE("the nearest key is offered", "[config]") {
  Config config;
  FieldList fields;
  config.fields(fields);
  struct Case {
    std::string_view given;
    std::string_view nearest;
  };
  const auto [given, nearest] = GENERATE(values<Case>({
      {"train.batch_sise", "train.batch_size"},
      {"train.batch-size", "train.batch_size"},
      {"evl.mode", "eval.mode"},               // the slip is in the section
      {"eval.batch_sise", "eval.batch_size"},  // the same name in two sections
      {"model.layer", "model.layers"},
      {"ssa.layer", "ssa.layers"},
      {"model.steps", "train.steps"},  // right name, wrong section
      {"train.lr", "train.optimizer.lr"},
      {"train.warmup_steps", "train.schedule.warmup_steps"},
      {"trian.optimizer.lr", "train.optimizer.lr"},
      {"modle", "model"},
      {"learning_rate", "train.optimizer.lr"},  // another program's name
      {"model.embed_dim", "model.width"},
      {"model.n_layer", "model.layers"},
      {"n_head", "model.heads"},
      {"n_embd", "model.width"},
      {"num_hidden_layers", "model.layers"},
      {"num_attention_heads", "model.heads"},
      {"block_size", "data.length"},
      {"max_iters", "train.steps"},
      {"train.max_steps", "train.steps"},
      {"num_train_epochs", "train.epochs"},
      {"epochs", "train.epochs"},
      {"batch", "train.batch_size"},
      {"warmup", "train.schedule.warmup_steps"},
      {"train.warmup_iters", "train.schedule.warmup_steps"},
      {"lr", "train.optimizer.lr"},
      {"train.weight_decay", "train.optimizer.weight_decay"},
      {"train.dropout", "model.dropout"},
      {"dtype", "train.precision"},
      {"train.betas", "train.optimizer.betas"},
      {"model.swin.depth", "model.swin.depths"},  // a slip, and elsewhere the number of layers
      {"save_total_limit", "train.keep_checkpoints"},
      {"eval_interval", "train.eval_every"},
      {"vocab_size", "data.vocabulary"},
  }));
  CAPTURE(given);
  CHECK(unknown_key_message(fields, given) ==
        "unknown key; did you mean " + std::string(nearest) + "?");
}

TEST_CASE("a name that is counted in another way says how", "[config]") {
  Config config;
  FieldList fields;
  config.fields(fields);
  CHECK(unknown_key_message(fields, "train.gradient_accumulation_steps") ==
        "unknown key; did you mean train.micro_batch? (batch_size / micro_batch is the number of "
        "accumulated parts)");
  CHECK(unknown_key_message(fields, "bfloat16") ==
        "unknown key; did you mean train.precision? (as in precision: bf16)");
}

TEST_CASE("with nothing near, the section's keys are listed", "[config]") {
  Config config;
  FieldList fields;
  config.fields(fields);
  CHECK(unknown_key_message(fields, "data.zzzzzzzz") ==
        "unknown key; data has name, path, length, vocabulary, image_size, validation, "
        "augment, classes, resize, crop, flip, rand_augment, erasing, mixing, on_bad_image, "
        "workers");
  CHECK(unknown_key_message(fields, "zzzzzzzz") ==
        "unknown key; the top level has task, model, ssa, data, train, "
        "distributed, eval");
}
