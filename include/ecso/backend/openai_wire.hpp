#pragma once

/// OpenAI chat completions as bytes: requests out, replies and errors in. Pure: no sockets, clocks or threads.

#include <ecso/backend/openai_dialect.hpp>
#include <ecso/backend/openai_reply.hpp>
#include <ecso/backend/openai_request.hpp>
#include <ecso/backend/openai_stream.hpp>
#include <ecso/backend/server_error.hpp>
