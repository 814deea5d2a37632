# Lets npm, node-gyp and prebuildify drive the CMake build, which is the only description of the
# native code. The second output is never written: it makes every build run the action, since
# only CMake knows what changed.
{
  "targets": [{
    "target_name": "speccascade",
    "type": "none",
    "actions": [{
      "action_name": "cmake_build",
      "inputs": ["CMakeLists.txt"],
      "outputs": ["<(PRODUCT_DIR)/speccascade.node", "<(PRODUCT_DIR)/.cmake-always"],
      "action": ["node", "scripts/build-native.mjs", "--config", "<(CONFIGURATION_NAME)", "--dest", "<(PRODUCT_DIR)"]
    }]
  }]
}
