#pragma once

#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/labels.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ecso::detail::gateway {

/// A label and all values that it can have.
struct MetricLabel {
  std::string name;
  std::vector<std::string> values;
};

/// The label of an enumeration that counts from 0 to `last`.
template <typename Enum>
[[nodiscard]] MetricLabel enum_label(std::string name, Enum last) {
  MetricLabel label{std::move(name), {}};
  for (int i = 0; i <= static_cast<int>(last); ++i) label.values.emplace_back(to_string(static_cast<Enum>(i)));
  return label;
}

/// The metrics of a family by the positions of their labels' values: each is made when it is first asked for, and found again
/// without a lock. Thread safe.
template <typename Metric>
class LabelledMetrics {
 public:
  /// @param common stands on every one.
  /// @param buckets of histograms.
  LabelledMetrics(prometheus::Family<Metric>& family, std::vector<MetricLabel> labels, prometheus::Labels common = {},
                  std::vector<double> buckets = {})
      : family_{family}, labels_{std::move(labels)}, common_{std::move(common)}, buckets_{std::move(buckets)} {
    std::size_t size = 1;
    for (const MetricLabel& label : labels_) size *= label.values.size();
    made_ = std::vector<std::atomic<Metric*>>(size);
  }

  /// @param positions one a label; those too large count as the last.
  template <typename... Position>
  [[nodiscard]] Metric& at(Position... positions) {
    std::size_t index = 0;
    [[maybe_unused]] auto label = labels_.begin();
    ((index = index * label->values.size() + std::min(static_cast<std::size_t>(positions), label->values.size() - 1), ++label),
     ...);
    Metric* metric = made_[index].load(std::memory_order_acquire);
    if (metric == nullptr) {
      metric = &make(index);
      made_[index].store(metric, std::memory_order_release);
    }
    return *metric;
  }

  /// Makes all of them, so that they show as 0 before the first count.
  void make_all() {
    for (std::size_t index = 0; index < made_.size(); ++index) static_cast<void>(make(index));
  }

 private:
  /// What two threads make at once is one: the family sees to that.
  [[nodiscard]] Metric& make(std::size_t index) const {
    prometheus::Labels labels = common_;
    for (auto label = labels_.rbegin(); label != labels_.rend(); ++label) {
      labels[label->name] = label->values[index % label->values.size()];
      index /= label->values.size();
    }
    if constexpr (std::is_same_v<Metric, prometheus::Histogram>)
      return family_.Add(labels, buckets_);
    else
      return family_.Add(labels);
  }

  prometheus::Family<Metric>& family_;
  std::vector<MetricLabel> labels_;
  prometheus::Labels common_;
  std::vector<double> buckets_;
  std::vector<std::atomic<Metric*>> made_;
};

/// The same with one more label, whose values come from a configuration: the first 256, then "other". Thread safe.
template <typename Metric>
class NamedMetrics {
 public:
  NamedMetrics(prometheus::Family<Metric>& family, std::string label, std::vector<MetricLabel> labels,
               std::vector<double> buckets = {})
      : family_{family}, label_{std::move(label)}, labels_{std::move(labels)}, buckets_{std::move(buckets)} {}

  [[nodiscard]] LabelledMetrics<Metric>& of(std::string_view name) {
    {
      const std::shared_lock lock{mutex_};
      if (const auto found = by_name_.find(name); found != by_name_.end()) return found->second;
    }
    const std::lock_guard lock{mutex_};
    std::string key{by_name_.size() < max_names || by_name_.contains(name) ? name : "other"};
    prometheus::Labels common{{label_, key}};
    return by_name_.try_emplace(std::move(key), family_, labels_, std::move(common), buckets_).first->second;
  }

 private:
  static constexpr std::size_t max_names = 256;

  prometheus::Family<Metric>& family_;
  std::string label_;
  std::vector<MetricLabel> labels_;
  std::vector<double> buckets_;
  std::shared_mutex mutex_;
  std::map<std::string, LabelledMetrics<Metric>, std::less<>> by_name_;
};

}  // namespace ecso::detail::gateway
