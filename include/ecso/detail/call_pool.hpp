#pragma once

#include <ecso/core/backend.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/query_scope.hpp>
#include <ecso/detail/call.hpp>
#include <ecso/drive/model_flow.hpp>
#include <ecso/error.hpp>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

namespace ecso::detail {

/// Threads that make model calls. A thread starts when a call finds all others busy. Joined when the pool ends: ask the calls to
/// stop first.
template <ModelBackend Backend>
class CallPool {
 public:
  struct Job {
    std::size_t flow;
    CallId id;
    ModelRequest request;
    CallContext context;
    std::shared_ptr<QueryScope> query;  // keeps alive what the context points to
  };
  /// What there is of a call's text.
  struct Progress {
    std::string text;
  };
  struct News {
    std::size_t flow;
    CallId id;
    std::variant<Progress, CallResult> what;
  };

  explicit CallPool(Backend& backend) : backend_{backend} {}
  CallPool(const CallPool&) = delete;
  CallPool& operator=(const CallPool&) = delete;

  ~CallPool() {
    {
      const std::lock_guard lock{mutex_};
      closed_ = true;
    }
    work_.notify_all();
  }

  void submit(Job job) {
    const std::lock_guard lock{mutex_};
    jobs_.push_back(std::move(job));
    if (idle_ >= jobs_.size()) {
      work_.notify_one();
    } else {
      start_thread();
    }
  }

  /// For the thread of a call.
  void report(News news) {
    const std::lock_guard lock{mutex_};
    news_.push_back(std::move(news));
    has_news_.notify_one();
  }

  /// Waits until a call ends or reports. There must be one under way.
  [[nodiscard]] News wait() {
    std::unique_lock lock{mutex_};
    has_news_.wait(lock, [this] { return !news_.empty(); });
    News news = std::move(news_.front());
    news_.pop_front();
    return news;
  }

 private:
  void start_thread() {
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      // The job waits for one of the threads there are.
      if (threads_.empty()) throw Error{Errc::internal, std::string{"no thread for a model call: "} + error.what()};
    }
  }

  void work() {
    std::unique_lock lock{mutex_};
    while (true) {
      ++idle_;
      work_.wait(lock, [this] { return closed_ || !jobs_.empty(); });
      --idle_;
      if (jobs_.empty()) return;
      make_call(lock);
    }
  }

  /// The job ends before its result is known, so that its query can.
  void make_call(std::unique_lock<std::mutex>& lock) {
    std::optional<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    News news{job->flow, job->id, call(backend_, job->request, job->context)};
    job.reset();
    lock.lock();
    news_.push_back(std::move(news));
    has_news_.notify_one();
  }

  Backend& backend_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable has_news_;
  std::deque<Job> jobs_;
  std::deque<News> news_;
  std::size_t idle_ = 0;
  bool closed_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace ecso::detail
