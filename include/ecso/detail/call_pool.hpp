#pragma once

#include <ecso/core/protocol.hpp>
#include <ecso/detail/call.hpp>
#include <ecso/drive/model_flow.hpp>
#include <ecso/error.hpp>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
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
  };
  struct Ended {
    std::size_t flow;
    CallId id;
    CallResult result;
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

  /// Waits for the next call to end. There must be one under way.
  [[nodiscard]] Ended wait() {
    std::unique_lock lock{mutex_};
    results_.wait(lock, [this] { return !ended_.empty(); });
    Ended ended = std::move(ended_.front());
    ended_.pop_front();
    return ended;
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
      const Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      CallResult result = call(backend_, job.request, job.context);
      lock.lock();
      ended_.push_back({job.flow, job.id, std::move(result)});
      results_.notify_one();
    }
  }

  Backend& backend_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable results_;
  std::deque<Job> jobs_;
  std::deque<Ended> ended_;
  std::size_t idle_ = 0;
  bool closed_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace ecso::detail
