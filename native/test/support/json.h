// Just enough JSON to read test vectors: strings without escapes beyond the simple ones, numbers as
// doubles. Anything malformed is an exception that says where.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace speccascade::test {

class Json {
 public:
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };

  static Json parse(const std::string& text);
  static Json read_file(const std::string& path);

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool boolean() const;
  // "inf" and "-inf" are the vectors' way to write infinities.
  double number() const;
  int integer() const { return static_cast<int>(number()); }
  const std::string& string() const;

  // Arrays.
  size_t size() const { return items_.size(); }
  const Json& operator[](size_t i) const;
  std::vector<Json>::const_iterator begin() const { return items_.begin(); }
  std::vector<Json>::const_iterator end() const { return items_.end(); }
  // An array of numbers; null entries become `null_value`.
  std::vector<double> numbers(double null_value = 0.0) const;
  std::vector<int> integers() const;

  // Objects. find gives null where there is no such key.
  const Json* find(const std::string& key) const;
  const Json& operator[](const std::string& key) const;

 private:
  friend class JsonParser;

  Kind kind_ = Kind::kNull;
  bool bool_ = false;
  double number_ = 0.0;
  std::string string_;
  std::vector<Json> items_;        // of an array, or an object's values
  std::vector<std::string> keys_;  // an object's
};

}  // namespace speccascade::test
