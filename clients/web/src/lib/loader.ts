/** A value loaded once, on first use. A failure is not cached: the next call loads again. */
export class Loader<T> {
  readonly #work: () => Promise<T>;
  #loading: Promise<T> | undefined;

  constructor(work: () => Promise<T>) {
    this.#work = work;
  }

  load(): Promise<T> {
    const loading = (this.#loading ??= this.#work());
    loading.catch(() => {
      if (this.#loading === loading) this.#loading = undefined;
    });
    return loading;
  }
}
