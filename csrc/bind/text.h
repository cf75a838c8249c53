// Text among an op's arguments.
#pragma once

#include <torch/csrc/stable/library.h>

#include <string>

namespace pyslsac {

struct Text {
  std::string value;
};

}  // namespace pyslsac

// torch's conversion to std::string (2.13) leaves a copy of the text behind at every call.
template <>
struct torch::stable::detail::ToImpl<pyslsac::Text> {
  static pyslsac::Text call(StableIValue from, uint64_t, bool) {
    const StringHandle handle = to<StringHandle>(from);
    const char* data = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(torch_string_c_str(handle, &data));
    pyslsac::Text text{data};
    STABLE_TORCH_ERROR_CODE_CHECK(torch_delete_string(handle));
    return text;
  }
};
