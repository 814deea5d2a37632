#include "test/support/json.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>

namespace speccascade::test {

class JsonParser {
 public:
  explicit JsonParser(const std::string& text) : text_(text) {}

  Json document() {
    Json value = parse_value();
    skip_space();
    if (at_ != text_.size()) wrong("text after the value");
    return value;
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const {
    throw std::runtime_error("JSON, byte " + std::to_string(at_) + ": " + what);
  }

  void skip_space() {
    while (at_ < text_.size() && std::strchr(" \t\r\n", text_[at_]) != nullptr) ++at_;
  }

  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!take(c)) wrong(std::string("expected ") + c);
  }

  bool take_word(const char* word) {
    if (text_.compare(at_, std::strlen(word), word) != 0) return false;
    at_ += std::strlen(word);
    return true;
  }

  Json parse_value() {
    skip_space();
    if (at_ >= text_.size()) wrong("the text ends");
    const char c = text_[at_];
    if (c == '{') return parse_object();
    if (c == '[') return parse_array();
    Json value;
    if (c == '"') {
      value.kind_ = Json::Kind::kString;
      value.string_ = parse_string();
    } else if (take_word("true") || take_word("false")) {
      value.kind_ = Json::Kind::kBool;
      value.bool_ = c == 't';
    } else if (!take_word("null")) {
      value.kind_ = Json::Kind::kNumber;
      value.number_ = parse_number();
    }
    return value;
  }

  Json parse_object() {
    Json value;
    value.kind_ = Json::Kind::kObject;
    expect('{');
    if (take('}')) return value;
    do {
      skip_space();
      value.keys_.push_back(parse_string());
      expect(':');
      value.items_.push_back(parse_value());
    } while (take(','));
    expect('}');
    return value;
  }

  Json parse_array() {
    Json value;
    value.kind_ = Json::Kind::kArray;
    expect('[');
    if (take(']')) return value;
    do {
      value.items_.push_back(parse_value());
    } while (take(','));
    expect(']');
    return value;
  }

  std::string parse_string() {
    expect('"');
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\') {
        ++at_;
        if (at_ >= text_.size() || std::strchr("\"\\/", text_[at_]) == nullptr) {
          wrong("an escape that test vectors do not use");
        }
      }
      out += text_[at_++];
    }
    expect('"');
    return out;
  }

  double parse_number() {
    const char* begin = text_.c_str() + at_;
    char* end = nullptr;
    const double number = std::strtod(begin, &end);
    if (end == begin) wrong("expected a value");
    at_ += static_cast<size_t>(end - begin);
    return number;
  }

  const std::string& text_;
  size_t at_ = 0;
};

Json Json::parse(const std::string& text) { return JsonParser(text).document(); }

Json Json::read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw std::runtime_error("cannot open " + path + " (tests run in the repository root)");
  return parse({std::istreambuf_iterator<char>(file), {}});
}

bool Json::boolean() const {
  if (kind_ != Kind::kBool) throw std::runtime_error("JSON: expected true or false");
  return bool_;
}

double Json::number() const {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (kind_ == Kind::kString && string_ == "inf") return kInfinity;
  if (kind_ == Kind::kString && string_ == "-inf") return -kInfinity;
  if (kind_ != Kind::kNumber) throw std::runtime_error("JSON: expected a number");
  return number_;
}

const std::string& Json::string() const {
  if (kind_ != Kind::kString) throw std::runtime_error("JSON: expected a string");
  return string_;
}

const Json& Json::operator[](size_t i) const { return items_.at(i); }

std::vector<double> Json::numbers(double null_value) const {
  std::vector<double> out;
  for (const Json& item : items_) out.push_back(item.is_null() ? null_value : item.number());
  return out;
}

std::vector<int> Json::integers() const {
  std::vector<int> out;
  for (const Json& item : items_) out.push_back(item.integer());
  return out;
}

const Json* Json::find(const std::string& key) const {
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i] == key) return &items_[i];
  }
  return nullptr;
}

const Json& Json::operator[](const std::string& key) const {
  const Json* found = find(key);
  if (found == nullptr) throw std::runtime_error("JSON: no key " + key);
  return *found;
}

}  // namespace speccascade::test
