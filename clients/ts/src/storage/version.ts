/** Version of the stored form. Stores of earlier versions are migrated when they are opened. */
export const STORE_VERSION = 2;
