#include "interrupt.hpp"

#include <pthread.h>
#include <unistd.h>

namespace ecso::command {

Interrupt::Interrupt() {
  sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, signal);
  pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  waiter_ = std::thread{[this] { wait(); }};
}

Interrupt::~Interrupt() {
  over_ = true;
  pthread_kill(waiter_.native_handle(), SIGTERM);
  waiter_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void Interrupt::wait() {
  while (true) {
    int signal = 0;
    sigwait(&signals_, &signal);
    if (over_) return;
    if (signal_ != 0) ::_exit(128 + signal);
    signal_ = signal;
    stop_.request_stop();
  }
}

}  // namespace ecso::command
