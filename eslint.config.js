import eslint from '@eslint/js'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['node_modules', 'dist', '.run', '.tap', 'coverage', 'bed/programs'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/consistent-type-definitions': ['error', 'interface'],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      'no-restricted-imports': [
        'error',
        {
          paths: [
            { name: 'ipaddr.js', message: "It accepts '010.0.0.1' and '10.1'; use ip-address." },
            { name: 'bottleneck', message: 'Unmaintained and releases in bursts; use limiter.' },
            {
              name: '@kubernetes/client-node',
              importNames: ['makeInformer', 'ListWatch', 'Watch'],
              message: 'Its informer stops for good on errors; use worker/kubernetes/reflector.ts.'
            }
          ]
        }
      ]
    }
  },
  {
    // tap's t.test() returns a promise that tap itself awaits, and an async test body need not await.
    files: ['**/*.test.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off'
    }
  },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly' } }
  }
)
