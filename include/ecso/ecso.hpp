#pragma once

/// All of the core and its blocking driver: what a program needs that brings its own backend. No network, and no JSON
/// (`ecso/core/*_json.hpp`).

#include <ecso/core/backend.hpp>
#include <ecso/core/close_eyes.hpp>
#include <ecso/core/conversation.hpp>
#include <ecso/core/image.hpp>
#include <ecso/core/policy.hpp>
#include <ecso/core/prompt_template.hpp>
#include <ecso/core/prompts.hpp>
#include <ecso/core/protocol.hpp>
#include <ecso/core/read_verdict.hpp>
#include <ecso/core/request.hpp>
#include <ecso/core/step.hpp>
#include <ecso/core/trace.hpp>
#include <ecso/core/verdict.hpp>
#include <ecso/drive/pipeline.hpp>
#include <ecso/drive/run.hpp>
#include <ecso/drive/run_batch.hpp>
#include <ecso/error.hpp>
#include <ecso/version.hpp>
